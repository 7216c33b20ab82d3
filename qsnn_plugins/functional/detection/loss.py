"""The loss of the first version of YOLO."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.detection.boxes import pairwise_iou
from qsnn_plugins.functional.detection.grid import (
    GridPrediction,
    YoloGrid,
    decode_boxes,
    split_cells,
    split_outputs,
)
from qsnn_plugins.functional.loss import tet_loss
from qsnn_plugins.functional.scale import wide

__all__ = ["Assignment", "YoloReduction", "assign_boxes", "yolo_loss_parts"]

YoloReduction = Literal["mean", "sum"]


class Assignment(NamedTuple):
    """The predictor that is responsible for each of M true boxes.

    Args:
        cells: Sample, row and column of the cell that contains its centre, each int64 [M].
        box: The box of this cell with the largest IoU, int64 [M].
        iou: This IoU, shape [M], without gradient.

    Example:
        >>> prediction = split_outputs(torch.zeros(1, 576), YoloGrid())
        >>> boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5]])
        >>> assign_boxes(prediction, boxes, torch.tensor([0])).cells[2]  # column of x = 0.25
        tensor([2])
    """

    cells: tuple[Tensor, Tensor, Tensor]
    box: Tensor
    iou: Tensor


def assign_boxes(prediction: GridPrediction, boxes: Tensor, samples: Tensor) -> Assignment:
    """Find the predictor that is responsible for each true box.

    This is the box with the largest IoU in the cell that contains the centre of the true box
    (Redmon et al., 2016, section 2); if several are equal, the first of them.

    Args:
        prediction: Result of `split_outputs`.
        boxes: True boxes of the whole batch, shape [M, 4], relative to the frame.
        samples: Index of the sample of each box, int64 [M].

    Returns:
        Cells, boxes and IoU, without gradient.

    Example:
        >>> prediction = split_outputs(torch.full((1, 7), 0.5), YoloGrid(1, 1, 1, 2))
        >>> boxes = torch.tensor([[0.375, 0.375, 0.625, 0.625]])
        >>> assign_boxes(prediction, boxes, torch.tensor([0])).iou
        tensor([1.])
    """
    _, rows, columns, _, _ = prediction.centres.shape
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    column = (centre[:, 0] * columns).long().clamp(0, columns - 1)
    row = (centre[:, 1] * rows).long().clamp(0, rows - 1)
    predicted = decode_boxes(prediction).detach()[samples, row, column]
    iou, box = pairwise_iou(boxes.unsqueeze(1), predicted).squeeze(1).max(-1)
    return Assignment((samples, row, column), box, iou)


def yolo_loss_parts(
    outputs: Tensor,
    boxes: Tensor,
    labels: Tensor,
    samples: Tensor,
    grid: YoloGrid,
    lamb: float = 0.9,
    reduction: YoloReduction = "mean",
    assignment: Assignment | None = None,
) -> dict[str, Tensor]:
    r"""Parts of YOLO's loss for the outputs of a spiking network, before weighting.

        centre      1/M Σ_m |(x, y)_m - (x̂, ŷ)_m|²       of the predictors that answer for a box
        shape       1/M Σ_m |(√w, √h)_m - (√ŵ, √ĥ)_m|²
        confidence  1/M Σ_m (ĉ_m - IoU_m)²
        no_object   mean of ĉ² over all other predictors
        classes     `tet_loss` of the M cells' class scores at every step

    The first four (Redmon et al., 2016, Eq. 3) use the mean of the outputs over the steps, as in
    decoding. "mean" is the form of the released code. "sum", the printed form of the original,
    divides sums by N instead of by their number of terms. Without any boxes, averages over boxes
    are 0.

    Args:
        outputs: Shape [T, N, F] with F = `grid.outputs`; 16 bits are computed in float32.
        boxes: True boxes of the whole batch, shape [M, 4], relative to the frame.
        labels: Their classes, int64 [M].
        samples: Index of the sample of each box, int64 [M].
        grid: Meaning of the outputs.
        lamb: λ of `tet_loss`.
        reduction: "mean" or "sum".
        assignment: Responsible predictors, or None to find them with `assign_boxes`.

    Returns:
        The five parts by name, scalars.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> box, label = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1])
        >>> outputs = torch.zeros(2, 1, 7)
        >>> parts = yolo_loss_parts(outputs, box, label, torch.tensor([0]), YoloGrid(1, 1, 1, 2))
        >>> {name: round(float(part), 2) for name, part in parts.items()}
        {'centre': 0.5, 'shape': 2.0, 'confidence': 0.25, 'no_object': 0.0, 'classes': 0.97}
    """
    if outputs.dim() != 3 or outputs.shape[0] < 1:
        raise ArgumentError("outputs.shape", tuple(outputs.shape), "[T, N, F] with T >= 1")
    if reduction not in get_args(YoloReduction):
        raise ArgumentError("reduction", reduction, f"one of {', '.join(get_args(YoloReduction))}")
    is_turned = ~(boxes[:, 2:] >= boxes[:, :2]).all(1)
    if bool(is_turned.any()):
        first = boxes[is_turned][0].tolist()
        allowed = "(left, top, right, bottom), with left <= right and top <= bottom"
        raise ArgumentError("boxes", first, allowed)
    outputs = wide(outputs)
    prediction = split_outputs(outputs.mean(0), grid)
    found = assignment or assign_boxes(prediction, boxes, samples)
    _, row, column = found.cells
    size = outputs.new_tensor([grid.columns, grid.rows])
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 * size - torch.stack([column, row], -1)
    roots = (boxes[:, 2:] - boxes[:, :2]).sqrt()
    answers = (*found.cells, found.box)
    free = torch.ones_like(prediction.confidences, dtype=torch.bool)
    free[answers] = False
    squares = {
        "centre": (prediction.centres[answers] - centre).square().sum(-1),
        "shape": (prediction.roots[answers] - roots).square().sum(-1),
        "confidence": (prediction.confidences[answers] - found.iou).square(),
        "no_object": prediction.confidences[free].square(),
    }
    mean = reduction == "mean"
    count = {
        name: max(len(terms), 1) if mean else outputs.shape[1] for name, terms in squares.items()
    }
    parts = {name: terms.sum() / count[name] for name, terms in squares.items()}
    scores = split_cells(outputs, grid)[:, *found.cells, 5 * grid.boxes :]
    weight = 1.0 if mean else len(boxes) / outputs.shape[1]
    parts["classes"] = weight * tet_loss(scores, labels, lamb) if len(boxes) else scores.sum()
    return parts
