"""Items and batches of object detection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Target = dict[str, Tensor]
BoxesItem = tuple[Tensor, Target]


def boxes_target(boxes: Any, labels: Any, image: int) -> Target:
    """Return the target of an item, in the form of torchvision's detectors.

    Args:
        boxes: (left, top, right, bottom) in pixels of the frame, M of them.
        labels: Their classes.
        image: Number of the item in its split.

    Returns:
        `boxes` float32 [M, 4], `labels` int64 [M] and `image_id` int64 [].

    Example:
        >>> boxes_target([], [], image=3)["boxes"].shape
        torch.Size([0, 4])
    """
    return {
        "boxes": torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.as_tensor(labels, dtype=torch.int64).reshape(-1),
        "image_id": torch.tensor(image),
    }


def collate_boxes(items: Sequence[BoxesItem]) -> tuple[Tensor, list[Target]]:
    """Make a batch of items: frames [N, T, C, H, W], and a list of N targets.

    Example:
        >>> items = [(torch.zeros(4, 2, 6, 8), boxes_target([], [], n)) for n in range(3)]
        >>> frames, targets = collate_boxes(items)
        >>> frames.shape, len(targets)
        (torch.Size([3, 4, 2, 6, 8]), 3)
    """
    frames, targets = zip(*items, strict=True)
    return torch.stack(frames), list(targets)
