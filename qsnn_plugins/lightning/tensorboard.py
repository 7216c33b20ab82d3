"""TensorBoard logs with histograms of membranes and firing rates."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor, nn

from qsnn_plugins.cost.neurons import all_neurons, is_multi_step
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.extras import import_extra
from qsnn_plugins.nn import ForwardMonitor, output_spikes

__all__ = ["TensorBoard"]

_BINS = 64
_SAMPLES = 8  # of the first batch


class TensorBoard(Callback):
    """Writes TensorBoard logs of a training or a test: `--tensorboard` on the command line.

    The logs lie beside `metrics.csv` in the folder of the run; `tensorboard --logdir runs` shows
    them. They contain everything that the module logs, and for each layer of neurons

    - `membrane/LAYER`, a histogram of the stored membranes after the last time step,
    - `rate_of_neurons/LAYER`, a histogram of the firing rates of its neurons,
    - `rate/LAYER`, the firing rate of the layer over the whole epoch.

    Both histograms are of the first samples of each epoch, as the training or the test sees them.
    With several devices, layers are measured on the first. The network is not changed. With
    `fast_dev_run`, nothing is logged.

    Args:
        samples: Samples of which the histograms are made.

    Raises:
        ArgumentError: If `samples` is below 1.
        DependencyError: If tensorboard is not installed.

    Example:
        >>> from qsnn_plugins.lightning import TensorBoard
        >>> TensorBoard().samples
        8
    """

    def __init__(self, samples: int = _SAMPLES) -> None:
        import_extra("tensorboard", "tensorboard", "a TensorBoard log")
        if samples < 1:
            raise ArgumentError("samples", samples, "an integer from 1")
        self.samples = samples
        self._neurons: dict[str, nn.Module] = {}
        self._monitor: ForwardMonitor | None = None
        self._membranes: dict[nn.Module, Tensor] = {}
        self._rates: dict[nn.Module, list[Tensor]] = {}
        self._is_sampled, self._stage = False, ""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Add a logger, and watch the neurons of the module's `network`."""
        self._stage = stage
        if getattr(trainer, "fast_dev_run", False):
            return
        if not any(isinstance(logger, TensorBoardLogger) for logger in trainer.loggers):
            trainer.loggers = [*trainer.loggers, _logger_beside(trainer, stage)]
        if trainer.is_global_zero:
            network = getattr(pl_module, "network", pl_module)
            self._neurons = all_neurons(network)
            self._monitor = ForwardMonitor(self._neurons, self._measure)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave no hook behind."""
        if self._monitor is not None:
            self._monitor.remove()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave no hook behind."""
        self.teardown(trainer, pl_module, "")

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Look closely at the first batch of an epoch."""
        self._is_sampled = batch_idx == 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the histograms of the first batch."""
        self._write_histograms(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        if self._monitor is not None:
            self._monitor.clear()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the firing rates of the epoch."""
        self._write_rates(trainer)

    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Look closely at the first batch."""
        self._is_sampled = batch_idx == 0

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the histograms of the first batch."""
        self._write_histograms(trainer)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the firing rates of the test."""
        self._write_rates(trainer)

    def _measure(self, neuron: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        """Count spikes and neurons; note membranes and rates of a batch that is sampled."""
        if self._stage == "fit" and not neuron.training:
            return None  # the validation of an epoch runs before its end
        fired = output_spikes(output).detach() != 0
        if self._is_sampled:
            membrane = output[-1] if isinstance(output, tuple) else _state(neuron)
            if isinstance(membrane, Tensor):
                self._membranes[neuron] = membrane.detach()[: self.samples]
            several = is_multi_step(neuron)
            sampled = fired[:, : self.samples] if several else fired[: self.samples]
            rates = sampled.float().mean((0, 1) if several else 0)
            self._rates.setdefault(neuron, []).append(rates)
        count = fired.count_nonzero().double()
        return torch.stack([count, torch.full_like(count, fired.numel())])

    def _write_histograms(self, trainer: Trainer) -> None:
        if not self._is_sampled or self._monitor is None:
            return
        self._is_sampled = False
        for name, neuron in self._neurons.items():
            if (membrane := self._membranes.pop(neuron, None)) is not None:
                _write_histogram(trainer, f"membrane/{name}", membrane)
            if rates := self._rates.pop(neuron, None):  # one tensor per call
                _write_histogram(trainer, f"rate_of_neurons/{name}", torch.stack(rates).mean(0))

    def _write_rates(self, trainer: Trainer) -> None:
        if self._monitor is None:
            return
        sums = self._monitor.sums.items()
        rates = {f"rate/{name}": float(fired / total) for name, (fired, total) in sums}
        if rates:
            _logger(trainer).log_metrics(rates, trainer.global_step)
        self._monitor.clear()


def _logger_beside(trainer: Trainer, stage: str) -> TensorBoardLogger:
    """Return a logger that writes into the folder of `metrics.csv`, or of the trainer."""
    for logger in trainer.loggers:
        if isinstance(logger, CSVLogger):
            root, name, version = logger.save_dir, logger.name, logger.version
            return TensorBoardLogger(root, name, version, default_hp_metric=False)
    return TensorBoardLogger(trainer.default_root_dir, stage, default_hp_metric=False)


def _logger(trainer: Trainer) -> TensorBoardLogger:
    return next(each for each in trainer.loggers if isinstance(each, TensorBoardLogger))


def _write_histogram(trainer: Trainer, tag: str, values: Tensor) -> None:
    if values.numel() and values.isfinite().all():
        writer: Any = _logger(trainer).experiment
        writer.add_histogram(tag, values.float(), trainer.global_step, bins=_BINS)


def _state(neuron: nn.Module) -> Any:
    """Return the membrane that a neuron stores: SpikingJelly calls it `v`, snnTorch `mem`."""
    return getattr(neuron, "v", getattr(neuron, "mem", None))
