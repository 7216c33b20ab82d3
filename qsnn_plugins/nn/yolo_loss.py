"""YOLO's loss as a module, for recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.detection.grid import YoloGrid
from qsnn_plugins.functional.detection.loss import YoloReduction, yolo_loss_parts
from qsnn_plugins.functional.scale import wide

__all__ = ["YoloLoss"]


class YoloLoss(nn.Module):
    """Weighted sum of `functional.yolo_loss_parts`.

        L = w_centre centre + w_shape shape + confidence + w_no_object no_object + w_classes classes

    Args:
        centre: Weight of the boxes' centres, 5 in YOLO and in the released code.
        shape: Weight of their widths and heights, 5 too.
        no_object: Weight of the confidence of predictors without an object, 0.5.
        classes: Weight of the class term, 1.
        lamb: λ of the class term, `functional.tet_loss`; the released script says 0.9.
        reduction: "mean" divides every part by its terms (released), "sum" by the samples.

    Raises:
        ArgumentError: If a weight is below 0, λ is not in [0, 1] or the reduction is unknown.

    Example:
        >>> targets = [{"boxes": torch.tensor([[0.0, 0.0, 1.0, 1.0]]), "labels": torch.tensor([1])}]
        >>> loss, parts = YoloLoss()(torch.zeros(2, 1, 7), targets, YoloGrid(1, 1, 1, 2))
        >>> loss, list(parts)
        (tensor(13.7193), ['centre', 'shape', 'confidence', 'no_object', 'classes'])
    """

    def __init__(
        self,
        centre: float = 5.0,
        shape: float = 5.0,
        no_object: float = 0.5,
        classes: float = 1.0,
        lamb: float = 0.9,
        reduction: YoloReduction = "mean",
    ) -> None:
        super().__init__()
        self.weights = {
            "centre": centre,
            "shape": shape,
            "confidence": 1.0,
            "no_object": no_object,
            "classes": classes,
        }
        for name, weight in self.weights.items():
            if not weight >= 0:
                raise ArgumentError(name, weight, "a number from 0")
        if not 0 <= lamb <= 1:
            raise ArgumentError("lamb", lamb, "a number from 0 to 1")
        if reduction not in get_args(YoloReduction):
            allowed = f"one of {', '.join(get_args(YoloReduction))}"
            raise ArgumentError("reduction", reduction, allowed)
        self.lamb, self.reduction = lamb, reduction

    def forward(
        self, outputs: Tensor, targets: Sequence[Mapping[str, Tensor]], grid: YoloGrid
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its weighted parts.

        Args:
            outputs: Shape [T, N, F] with F = `grid.outputs`.
            targets: Of each sample `boxes` [M, 4], relative to the frame, and `labels` [M].
            grid: What the outputs stand for.

        Raises:
            ArgumentError: If there are not as many targets as samples, or an argument is not
                allowed, see `functional.yolo_loss_parts`.
        """
        # 16 bits would move a box to another cell
        outputs = wide(outputs)
        if outputs.dim() == 3 and len(targets) != outputs.shape[1]:
            allowed = f"one target for each of {outputs.shape[1]} samples"
            raise ArgumentError("len(targets)", len(targets), allowed)
        boxes = torch.cat([target["boxes"] for target in targets]).to(outputs.dtype)
        labels = torch.cat([target["labels"] for target in targets])
        numbers = torch.tensor([len(target["boxes"]) for target in targets], device=boxes.device)
        samples = torch.arange(len(targets), device=boxes.device).repeat_interleave(numbers)
        parts = yolo_loss_parts(outputs, boxes, labels, samples, grid, self.lamb, self.reduction)
        parts = {name: self.weights[name] * part for name, part in parts.items()}
        return torch.stack(list(parts.values())).sum(), parts

    def extra_repr(self) -> str:
        """Name the weights, λ and the reduction."""
        weights = ", ".join(f"{name}={weight}" for name, weight in self.weights.items())
        return f"{weights}, lamb={self.lamb}, reduction={self.reduction!r}"
