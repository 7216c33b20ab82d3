"""Boxes as (left, top, right, bottom): overlap, clipping and non-maximum suppression."""

from __future__ import annotations

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import check_floating
from qsnn_plugins.torchvision_ops import Operators, register_missing_ops

__all__ = ["clip_boxes", "nms", "pairwise_iou"]


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of all pairs of boxes.

        IoU(a, b) = |a ∩ b| / |a ∪ b|,    0 where both are empty

    Args:
        first: Boxes (left, top, right, bottom), shape [..., P, 4].
        second: Boxes in the same units, shape [..., Q, 4].

    Returns:
        Shape [..., P, Q], from 0 to 1.

    Raises:
        ArgumentError: If the boxes are not floating point.

    Example:
        >>> box, half = torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 2.0, 1.0]])
        >>> pairwise_iou(box, half)
        tensor([[0.5000]])
    """
    check_floating("first", first)
    check_floating("second", second)
    a, b = first.unsqueeze(-2), second.unsqueeze(-3)
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(
        min=0
    )
    shared = overlap.prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (a, b)]
    union = areas[0] + areas[1] - shared
    return torch.where(union > 0, shared / union.clamp(min=torch.finfo(union.dtype).tiny), 0.0)


def clip_boxes(boxes: Tensor, height: float, width: float) -> Tensor:
    """Clip boxes to the frame.

    Args:
        boxes: Shape [..., 4], (left, top, right, bottom).
        height: Height of the frame, in the units of the boxes.
        width: Width of the frame.

    Returns:
        Shape [..., 4]; a box outside the frame becomes empty.

    Example:
        >>> clip_boxes(torch.tensor([-2.0, 1.0, 3.0, 9.0]), height=8, width=8)
        tensor([0., 1., 3., 8.])
    """
    return boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))


def nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression in every sample and group at once.

    The boxes of a sample are visited in the order of descending score. A box is kept unless its IoU
    with a kept box of the same group exceeds the threshold. Boxes with equal scores are visited in
    their order. If torchvision's operators can be loaded, its `nms` is used; otherwise a loop, with
    as many passes as the longest chain of boxes that suppress one another.

    Args:
        boxes: Shape [N, P, 4], (left, top, right, bottom), finite.
        scores: Shape [N, P]; boxes with -inf are ignored.
        groups: Shape [N, P], int64 from 0; boxes suppress only boxes of the same group.
        iou_threshold: From 0 to 1.

    Returns:
        Which boxes are kept, bool, shape [N, P].

    Raises:
        ArgumentError: If the threshold is not in [0, 1].

    Example:
        >>> boxes = torch.tensor([[[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 3.0]]])
        >>> groups = torch.zeros(1, 2, dtype=torch.int64)
        >>> nms(boxes, torch.tensor([[0.8, 0.9]]), groups, iou_threshold=0.5)
        tensor([[False,  True]])
    """
    if not 0 <= iou_threshold <= 1:
        raise ArgumentError("iou_threshold", iou_threshold, "a number from 0 to 1")
    suppress = _with_torchvision if register_missing_ops() is Operators.NATIVE else _in_passes
    return suppress(boxes.detach(), scores.detach(), groups, iou_threshold)


def _in_passes(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    boxes = boxes.take_along_dim(order.unsqueeze(-1), 1)
    groups = groups.take_along_dim(order, 1)
    overlap = (pairwise_iou(boxes, boxes) > iou_threshold) & (groups[:, :, None] == groups[:, None])
    overlap = overlap.triu(1)
    candidates = scores > -torch.inf
    kept = candidates
    # the first k boxes are right after k passes, whatever the others are, so it comes to rest
    while True:
        again = candidates & ~(overlap & kept.unsqueeze(-1)).any(1)
        if torch.equal(again, kept):
            return torch.zeros_like(kept).scatter(1, order, kept)
        kept = again


def _with_torchvision(
    boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float
) -> Tensor:
    kept = torch.zeros_like(scores, dtype=torch.bool)
    chosen = (scores > -torch.inf).nonzero(as_tuple=True)
    if len(chosen[0]) == 0:
        return kept
    candidates, apart = boxes[chosen].double(), groups[chosen] + chosen[0] * (groups.max() + 1)
    # in float64 the distance between groups costs a coordinate no digit that matters
    step = candidates.max() - candidates.min() + 1
    moved = candidates + (apart * step).unsqueeze(-1)
    index = torch.ops.torchvision.nms(moved, scores[chosen].double(), iou_threshold)
    kept[chosen[0][index], chosen[1][index]] = True
    return kept
