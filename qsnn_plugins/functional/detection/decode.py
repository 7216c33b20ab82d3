"""Decoding the outputs of a detector to boxes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.detection.boxes import clip_boxes, nms
from qsnn_plugins.functional.detection.grid import YoloGrid, decode_boxes, split_outputs

__all__ = ["Detections", "detect"]


class Detections(NamedTuple):
    """Detected objects of a sample, in the order of descending score.

    Args:
        boxes: (left, top, right, bottom), shape [D, 4].
        scores: Shape [D], from 0 to 1.
        labels: Classes, int64 [D].

    Example:
        >>> detect(torch.zeros(1, 576), YoloGrid(), confidence_threshold=0.6)[0].boxes.shape
        torch.Size([0, 4])
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def detect(
    outputs: Tensor,
    grid: YoloGrid,
    confidence_threshold: float = 0.3,
    iou_threshold: float = 0.6,
    most: int = 45,
) -> list[Detections]:
    """Find objects in every sample.

    Boxes with a confidence above the threshold are detected. The score of a box is its confidence
    times the probability of the most likely class of its cell (Redmon et al., 2016, Eq. 1). Boxes
    are clipped to the frame, and overlapping boxes of the same class are suppressed.

    Args:
        outputs: Mean over the steps, shape [N, F].
        grid: Meaning of the outputs.
        confidence_threshold: From 0 to 1.
        iou_threshold: Of `nms`.
        most: Largest number of boxes per sample; those with the highest scores are kept.

    Returns:
        The detected objects of each sample, relative to the frame.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> outputs = torch.tensor([[0.5, 0.5, 0.6, 0.6, 5.0, 0.0, 9.0]])
        >>> (found,) = detect(outputs, YoloGrid(1, 1, 1, 2))
        >>> found.labels, found.scores
        (tensor([1]), tensor([0.9932]))
    """
    if not 0 <= confidence_threshold <= 1:
        raise ArgumentError("confidence_threshold", confidence_threshold, "a number from 0 to 1")
    if most < 1:
        raise ArgumentError("most", most, "an integer from 1")
    prediction = split_outputs(outputs, grid)
    boxes = clip_boxes(decode_boxes(prediction), 1.0, 1.0).flatten(1, 3)
    probability, label = prediction.classes.softmax(-1).max(-1)
    labels = label.unsqueeze(-1).expand_as(prediction.confidences).flatten(1)
    confidences = prediction.confidences
    scores = (confidences * probability.unsqueeze(-1)).flatten(1)
    visible = (boxes[..., 2:] > boxes[..., :2]).all(-1)
    counts = (confidences.flatten(1) > confidence_threshold) & visible
    scores = scores.masked_fill(~counts, -torch.inf)
    kept = nms(boxes, scores, labels, iou_threshold)
    scores, order = scores.masked_fill(~kept, -torch.inf).sort(dim=1, descending=True, stable=True)
    numbers = kept.sum(1).clamp(max=most).tolist()
    return [
        Detections(boxes[n, order[n, :k]], scores[n, :k], labels[n, order[n, :k]])
        for n, k in enumerate(numbers)
    ]
