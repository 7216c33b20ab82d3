"""Training of a spiking detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torchmetrics.detection import MeanAveragePrecision

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.extras import import_extra
from qsnn_plugins.functional import Detections, YoloGrid, detect
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
from qsnn_plugins.nn import YoloLoss, follow_norms

__all__ = ["SpikingDetector"]

Target = Mapping[str, Tensor]
Batch = tuple[Tensor, list[dict[str, Tensor]]]


class SpikingDetector(TimedModule):
    """Spiking network, loss, optimizer and schedule of a detection recipe.

    A batch is frames [N, T, C, H, W] and N targets with `boxes` [M, 4] (left, top, right, bottom,
    in pixels of the frame) and `labels` [M]. The network gets the frames time-major and in floating
    point, and returns [T, N, F] with F = `grid.outputs`. Their mean over T is decoded.

    Validation and test compute COCO's mean average precision with pycocotools: `map` is the mean
    over IoU thresholds from 0.5 to 0.95 and over the classes, `ap50` the mean over the classes for
    an IoU threshold of 0.5.

    Args:
        network: Time-major network with `out_channels` and `reset_states()`, such as `StringNet`.
        grid: Meaning of the network's outputs.
        loss: Loss of outputs, targets and grid, the default `YoloLoss`.
        optimizer: Builds the optimizer from the parameters.
        schedule: "cosine" decays the learning rate to 0 over the epochs of the trainer, "constant"
            keeps it.
        confidence_threshold: Lowest confidence of a detected box; the released code has 0.3. Boxes
            with low scores raise the average precision, so use a small value to measure it.
        iou_threshold: IoU above which the box with the lower score is suppressed, within a class.
        most: Largest number of boxes per frame.

    Raises:
        ArgumentError: If `schedule` is unknown, the network's outputs do not fit the grid, or a
            threshold is not allowed.
        DependencyError: If pycocotools (extra "detection") is not installed.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> model = SpikingDetector(StringNet("4C3-GAP-FC28"), grid=YoloGrid(2, 2, 1, 2))
        >>> model(torch.zeros(3, 5, 2, 6, 6, dtype=torch.uint8)).shape  # [N, T, ...] to [T, N, F]
        torch.Size([5, 3, 28])
    """

    def __init__(
        self,
        network: nn.Module,
        grid: YoloGrid = YoloGrid(),  # noqa: B008 - frozen
        loss: nn.Module | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        schedule: Schedule = "cosine",
        confidence_threshold: float = 0.3,
        iou_threshold: float = 0.6,
        most: int = 45,
    ) -> None:
        super().__init__()
        check_schedule(schedule)
        check_optimizer(optimizer)
        outputs = output_count(network)
        if outputs != grid.outputs:
            raise ArgumentError("grid", grid, f"one of the network's {outputs} outputs")
        self.network: Any = network
        self.grid = grid
        self.loss = loss if loss is not None else YoloLoss()
        self.optimizer, self.schedule = SharedFactory(optimizer), schedule
        self.limits: dict[str, Any] = {
            "confidence_threshold": confidence_threshold,
            "iou_threshold": iou_threshold,
            "most": most,
        }
        detect(torch.zeros(1, outputs), grid, **self.limits)
        import_extra("pycocotools.cocoeval", "detection", "the mean average precision")
        # COCO's own thresholds: torchmetrics rounds them to float32, and so moves the precision
        self.precision = MeanAveragePrecision(
            backend="pycocotools",
            iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
            rec_thresholds=np.linspace(0.0, 1.0, 101).tolist(),
            compute_with_cache=False,
        )
        self.precision.warn_on_many_detections = False

    def forward(self, frames: Tensor) -> Tensor:
        """Reset the states, and map recordings [N, T, C, H, W] to outputs [T, N, F].

        Raises:
            ArgumentError: If the frames have no steps.
        """
        if frames.dim() != 5:
            raise ArgumentError("frames.shape", tuple(frames.shape), "[N, T, C, H, W]")
        self.network.reset_states()
        return self.network(frames.transpose(0, 1).to(self.dtype))

    def find(self, frames: Tensor) -> list[Detections]:
        """Find objects in recordings [N, T, C, H, W]; boxes are in pixels of the frame."""
        size = _box_size(frames)
        return [
            found._replace(boxes=found.boxes * size)
            for found in detect(self(frames).mean(0), self.grid, **self.limits)
        ]

    def on_fit_start(self) -> None:
        """Let gates follow a synchronized BatchNorm."""
        follow_norms(self.network)

    def on_train_epoch_start(self) -> None:
        """Update the schedules of weight quantizers."""
        start_epoch(self, self.network)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch, and log its parts."""
        frames, targets = batch
        self._check_labels(targets, batch_idx)
        size = _box_size(frames)
        relative = [{**target, "boxes": target["boxes"] / size} for target in targets]
        loss, parts = self.loss(self(frames), relative, self.grid)
        self.log("train_loss", loss, prog_bar=True, batch_size=len(targets))
        named = {f"train_{name}": part for name, part in parts.items()}
        self.log_dict(named, batch_size=len(targets))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect what is found in one batch."""
        frames, targets = batch
        self._check_labels(targets, batch_idx)
        self.precision.update([found._asdict() for found in self.find(frames)], targets)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect what is found in one batch."""
        self.validation_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> list[Detections]:
        """Return what is found in each sample of one batch."""
        return self.find(batch[0])

    def on_validation_epoch_end(self) -> None:
        """Log `val_map` and `val_ap50`."""
        self._log_precision("val")

    def on_test_epoch_end(self) -> None:
        """Log `test_map` and `test_ap50`."""
        self._log_precision("test")

    def configure_callbacks(self) -> list[Callback]:
        """Print a table after every test, and stop a training that diverges with an error."""
        return unless_given(self, StopOnDivergence(), NetworkReport())

    def configure_optimizers(self) -> Any:
        """Return the optimizer and its schedule over the training."""
        return scheduled(self.trainer, build_optimizer(self.optimizer, self), self.schedule)

    def _log_precision(self, stage: str) -> None:
        measured = self.precision.compute()
        self.precision.reset()
        # COCO says -1 where there is nothing to find
        for name, key in (("map", "map"), ("ap50", "map_50")):
            self.log(f"{stage}_{name}", measured[key].to(self.device), prog_bar=True)

    def _check_labels(self, targets: list[dict[str, Tensor]], batch_idx: int) -> None:
        labels = torch.cat([target["labels"] for target in targets])
        classes = self.grid.classes
        check_labels(labels, classes, f"the grid has {classes} classes", batch_idx)


def _box_size(frames: Tensor) -> Tensor:
    height, width = frames.shape[-2:]
    return torch.tensor([width, height] * 2, dtype=torch.float32, device=frames.device)
