"""The grid of boxes of the first version of YOLO.

All coordinates are relative to the frame: left and right in its width, top and bottom in its
height, from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import wide

__all__ = ["GridPrediction", "YoloGrid", "decode_boxes", "split_outputs"]


@dataclass(frozen=True)
class YoloGrid:
    """Meaning of the outputs of a detector: a grid of cells with boxes and classes.

    Args:
        rows: Number of cells from top to bottom.
        columns: Number of cells from left to right.
        boxes: B, boxes per cell.
        classes: K, number of classes; each cell has one class.

    Raises:
        ArgumentError: If a number is below 1.

    Example:
        >>> YoloGrid().outputs  # 6 x 8 cells, two boxes and two classes in each
        576
    """

    rows: int = 6
    columns: int = 8
    boxes: int = 2
    classes: int = 2

    def __post_init__(self) -> None:
        for argument in ("rows", "columns", "boxes", "classes"):
            if getattr(self, argument) < 1:
                raise ArgumentError(argument, getattr(self, argument), "an integer from 1")

    @property
    def outputs(self) -> int:
        """Number of network outputs for a frame: rows x columns x (5 B + K)."""
        return self.rows * self.columns * (5 * self.boxes + self.classes)


class GridPrediction(NamedTuple):
    """The outputs of a detector, separated by meaning.

    Args:
        centres: (x, y) of a box's centre within its cell, from its left top corner, in cells; shape
            [N, rows, columns, B, 2].
        roots: Square roots of width and height, shape [N, rows, columns, B, 2].
        confidences: From 0 to 1, shape [N, rows, columns, B].
        classes: Scores, shape [N, rows, columns, K].

    Example:
        >>> split_outputs(torch.zeros(1, 576), YoloGrid()).confidences.shape
        torch.Size([1, 6, 8, 2])
    """

    centres: Tensor
    roots: Tensor
    confidences: Tensor
    classes: Tensor


def split_outputs(outputs: Tensor, grid: YoloGrid) -> GridPrediction:
    """Separate the outputs of a detector by meaning.

    The numbers of a cell are B horizontal and B vertical positions of a centre, B roots of heights
    and B of widths, B confidences before a sigmoid, and K scores, as in the released code of
    SpQuant-SNN's authors.

    Args:
        outputs: Shape [N, F] with F = `grid.outputs`, cells row by row.
        grid: Meaning of the outputs.

    Returns:
        The four parts, of 16-bit outputs in float32.

    Raises:
        ArgumentError: If `outputs` has another shape.

    Example:
        >>> split_outputs(torch.zeros(3, 576), YoloGrid()).centres.shape
        torch.Size([3, 6, 8, 2, 2])
    """
    if outputs.dim() != 2 or outputs.shape[1] != grid.outputs:
        allowed = f"[N, {grid.outputs}], for {grid}"
        raise ArgumentError("outputs.shape", tuple(outputs.shape), allowed)
    outputs = wide(outputs)
    parts = [grid.boxes] * 5 + [grid.classes]
    x, y, height, width, confidence, classes = split_cells(outputs, grid).split(parts, dim=-1)
    return GridPrediction(
        torch.stack([x, y], -1), torch.stack([width, height], -1), confidence.sigmoid(), classes
    )


def split_cells(outputs: Tensor, grid: YoloGrid) -> Tensor:
    """Numbers of each cell, [..., rows, columns, 5 B + K], of outputs [..., F]."""
    return outputs.unflatten(-1, (grid.rows, grid.columns, 5 * grid.boxes + grid.classes))


def decode_boxes(prediction: GridPrediction) -> Tensor:
    """Boxes of a prediction, relative to the frame.

        centre = ((column + x) / columns, (row + y) / rows),    size = (√w², √h²)

    Args:
        prediction: Result of `split_outputs`.

    Returns:
        (left, top, right, bottom), shape [N, rows, columns, B, 4]; not clipped.

    Example:
        >>> decode_boxes(split_outputs(torch.full((1, 7), 0.5), YoloGrid(1, 1, 1, 2)))[0, 0, 0]
        tensor([[0.3750, 0.3750, 0.6250, 0.6250]])
    """
    _, rows, columns, _, _ = prediction.centres.shape
    like = prediction.centres
    row, column = torch.meshgrid(
        torch.arange(rows, device=like.device), torch.arange(columns, device=like.device),
        indexing="ij",
    )  # fmt: skip
    corner = torch.stack([column, row], -1).unsqueeze(2)
    centre = (corner + prediction.centres) / like.new_tensor([columns, rows])
    half = prediction.roots.square() / 2
    return torch.cat([centre - half, centre + half], -1)
