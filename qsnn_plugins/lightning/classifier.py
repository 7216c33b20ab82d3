"""Training of a spiking classifier."""

from __future__ import annotations

from typing import Any, get_args

import torch
from lightning.pytorch import Callback
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from qsnn_plugins.data import BatchMixing
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.lightning.class_writer import ClassWriter
from qsnn_plugins.lightning.divergence import StopOnDivergence
from qsnn_plugins.lightning.labels import check_labels
from qsnn_plugins.lightning.networks import (
    SharedFactory,
    build_optimizer,
    check_optimizer,
    output_count,
)
from qsnn_plugins.lightning.own_callbacks import unless_given
from qsnn_plugins.lightning.report import NetworkReport
from qsnn_plugins.lightning.schedule import (
    Schedule,
    check_schedule,
    scheduled,
    start_epoch,
)
from qsnn_plugins.lightning.time_steps import TimedModule
from qsnn_plugins.models import HostedNet
from qsnn_plugins.nn import (
    ForwardMonitor,
    TETLoss,
    WeightDecayOn,
    WSDRLoss,
    follow_norms,
    quantized_neurons,
    soft_weights,
)

__all__ = ["SpikingClassifier"]


class SpikingClassifier(TimedModule):
    """Spiking network, loss, optimizer and schedule of a classification recipe.

    A batch is (frames [N, T, C, H, W], labels [N]), or (images [N, C, H, W], labels [N]), which are
    shown at each of `time_steps` steps (direct coding). The network gets them time-major and in
    floating point, and returns logits [T, N, K]. The class is that of the highest mean over T.

    Args:
        network: Time-major network with `out_channels` (K) and `reset_states()`, such as
            `StringNet`.
        loss: Loss of logits [T, N, K] and labels [N]; `TETLoss` by default. A `WSDRLoss` also gets
            the firing rates of the neurons.
        optimizer: Builds the optimizer from the parameters.
        schedule: "cosine" decays the learning rate over the epochs of the trainer, "constant" keeps
            it, "one_cycle" raises and lowers it batch by batch (torch's `OneCycleLR`).
        time_steps: T for still images, from 1; None for data with time steps.
        warmup_epochs: Epochs at the start in which the learning rate rises linearly.
        min_lr: Learning rate at the end of the cosine and at the start of a warm-up; None is 0.
        cosine_epochs: Epochs after which the cosine rises again (T_max of `CosineAnnealingLR`), or
            None for a single decay.
        weight_decay_on: Parameters with weight decay: "all" (weights, biases and normalization), or
            "weights" only. Learned scales, thresholds and leaks never have weight decay.
        mixing: Mixup and CutMix of the training batches, with the seed of the data module, or None.
            The training loss is then computed with the mixed labels.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> model = SpikingClassifier(StringNet("4C3-GAP-FC3"))
        >>> model(torch.zeros(2, 5, 2, 6, 6, dtype=torch.uint8)).shape  # [N, T, ...] to [T, N, K]
        torch.Size([5, 2, 3])
        >>> model = SpikingClassifier(StringNet("4C3-GAP-FC3", in_channels=1), time_steps=5)
        >>> model(torch.zeros(2, 1, 6, 6)).shape  # [N, ...] to [T, N, K]
        torch.Size([5, 2, 3])
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        schedule: Schedule = "cosine",
        time_steps: int | None = None,
        warmup_epochs: int = 0,
        min_lr: float | None = None,
        cosine_epochs: int | None = None,
        weight_decay_on: WeightDecayOn = "all",
        mixing: BatchMixing | None = None,
    ) -> None:
        super().__init__()
        check_schedule(schedule, warmup_epochs, min_lr, cosine_epochs)
        check_optimizer(optimizer)
        if weight_decay_on not in get_args(WeightDecayOn):
            allowed = f"one of {', '.join(get_args(WeightDecayOn))}"
            raise ArgumentError("weight_decay_on", weight_decay_on, allowed)
        if time_steps is not None and time_steps < 1:
            raise ArgumentError("time_steps", time_steps, "an integer from 1, or None")
        self.network: Any = network
        self.loss = loss if loss is not None else TETLoss()
        self.optimizer, self.schedule = SharedFactory(optimizer), schedule
        self.time_steps = time_steps
        self.warmup_epochs, self.min_lr, self.cosine_epochs = warmup_epochs, min_lr, cosine_epochs
        self.weight_decay_on, self.mixing = weight_decay_on, mixing
        classes = output_count(network)
        self.accuracy = MulticlassAccuracy(classes, average="micro")
        self.soft_accuracy = MulticlassAccuracy(classes, average="micro")

    def forward(self, frames: Tensor) -> Tensor:
        """Reset the states, and map recordings [N, T, C, H, W] or images [N, C, H, W] to [T, N, K].

        Raises:
            ArgumentError: If images come without `time_steps`, or recordings with it.
        """
        self.network.reset_states()
        return self.network(self._over_time(frames.to(self.dtype)))

    def _over_time(self, frames: Tensor) -> Tensor:
        shape = list(frames.shape)
        if self.time_steps is None:
            if frames.dim() == 4:
                allowed = f"an integer from 1: a batch of shape {shape} has images without steps"
                raise ArgumentError("time_steps", None, allowed)
            return frames.transpose(0, 1)
        if frames.dim() != 4:
            allowed = f"None: a batch of shape {shape} has steps of its own"
            raise ArgumentError("time_steps", self.time_steps, allowed)
        return frames.expand(self.time_steps, *shape)

    def on_fit_start(self) -> None:
        """Let gates follow a synchronized BatchNorm; refuse what would be silently wrong.

        Raises:
            ArgumentError: Synchronized BatchNorm is within a network of SpikingJelly's own, where
                the conversion has lost the time steps; or spikes that are not 0 and 1 are regulated
                by their rates.
        """
        follow_norms(self.network)
        neurons: list[Any] = [*quantized_neurons(self.network).values()]
        heights = {neuron.quant_spec.spike.value for neuron in neurons}
        if isinstance(self.loss, WSDRLoss) and "threshold" in heights:
            allowed = "another loss where spike.value is 'threshold': it needs firing rates"
            raise ArgumentError("loss", "WSDRLoss", allowed)
        converted = any(isinstance(part, nn.SyncBatchNorm) for part in self.network.modules())
        if converted and isinstance(self.network, HostedNet):
            allowed = (
                "False: SpikingJelly's BatchNorm has time steps, the synchronized one does not"
            )
            raise ArgumentError("trainer.sync_batchnorm", True, allowed)

    def on_train_epoch_start(self) -> None:
        """Update the schedules of weight quantizers."""
        start_epoch(self, self.network)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        frames, labels = batch
        self._check_labels(labels, batch_idx)
        if self.mixing is not None:
            frames, labels = self._mix(self.mixing, frames, labels, batch_idx)
        loss = self._loss(frames, labels)
        self.log("train_loss", loss, prog_bar=True, batch_size=len(labels))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count the correct answers of one batch, with soft weights too if there are any."""
        self._evaluate(batch, batch_idx, "val_accuracy", self.accuracy)
        with soft_weights(self.network) as softened:
            if softened:
                self._evaluate(batch, batch_idx, "val_accuracy_soft", self.soft_accuracy)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count the correct answers of one batch."""
        self._evaluate(batch, batch_idx, "test_accuracy", self.accuracy)

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the classes [N] of one batch."""
        return self(batch[0]).mean(0).argmax(-1)

    def configure_callbacks(self) -> list[Callback]:
        """Stop where it diverges, end a test with a table, and write what is predicted."""
        return unless_given(self, StopOnDivergence(), NetworkReport(), ClassWriter())

    def configure_optimizers(self) -> Any:
        """Return the optimizer and its schedule over the training."""
        optimizer = build_optimizer(self.optimizer, self, self.weight_decay_on)
        return scheduled(
            self.trainer,
            optimizer,
            self.schedule,
            warmup_epochs=self.warmup_epochs,
            min_lr=self.min_lr,
            cosine_epochs=self.cosine_epochs,
        )

    def _mix(
        self, mixing: BatchMixing, frames: Tensor, labels: Tensor, batch_idx: int
    ) -> tuple[Tensor, Tensor]:
        # the data module's, so that one seed decides all that is drawn for the batch
        seed = getattr(getattr(self.trainer, "datamodule", None), "seed", 0)
        return mixing(
            frames,
            labels,
            self.network.out_channels,
            self.current_epoch,
            batch=batch_idx,
            process=self.global_rank,
            seed=seed,
        )

    def _loss(self, frames: Tensor, labels: Tensor) -> Tensor:
        if not isinstance(self.loss, WSDRLoss):
            return self.loss(self(frames), labels)
        with ForwardMonitor(quantized_neurons(self.network)) as rates:
            outputs = self(frames)
        return self.loss(outputs, labels, list(rates.means().values()))

    def _evaluate(
        self, batch: tuple[Tensor, Tensor], batch_idx: int, name: str, metric: MulticlassAccuracy
    ) -> None:
        frames, labels = batch
        self._check_labels(labels, batch_idx)
        metric(self(frames).mean(0), labels)
        self.log(name, metric, on_epoch=True, prog_bar=True, batch_size=len(labels))

    def _check_labels(self, labels: Tensor, batch_idx: int) -> None:
        classes = self.network.out_channels
        check_labels(labels, classes, f"the network has {classes} outputs", batch_idx)
