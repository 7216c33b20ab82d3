"""What data modules of object detection share: items, batches and loaders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from qsnn_plugins.data.checks import at_least
from qsnn_plugins.data.order import EpochShuffle

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


class BoxesDataModule(LightningDataModule):
    """Splits of frames with boxes, and their loaders.

    A data set derives from it and says where its splits come from, in `split()`.

    Args:
        class_names: Names of the classes, in the order of the labels.
        frame_shape: (C, H, W) of one frame.
        time_steps: T, the number of frames of an item.
        batch_size: Items a batch.
        num_workers: Processes that load batches; 0 loads them in the training process.
        seed: Seed of the training order.

    Raises:
        ArgumentError: A count is too small.
    """

    def __init__(
        self,
        *,
        class_names: tuple[str, ...],
        frame_shape: tuple[int, int, int],
        time_steps: int,
        batch_size: int,
        num_workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.class_names, self.num_classes = class_names, len(class_names)
        self.frame_shape = frame_shape
        self.time_steps = at_least("time_steps", time_steps, 1)
        self.batch_size = at_least("batch_size", batch_size, 1)
        self.num_workers = at_least("num_workers", num_workers, 0)
        self.seed = at_least("seed", seed, 0)
        self._splits: dict[str, Dataset[BoxesItem]] = {}

    def split(self, name: str) -> Dataset[BoxesItem]:
        """Return the split "train", "val" or "test"; each data set has its own."""
        raise NotImplementedError(f"{type(self).__name__} does not say where its splits come from")

    def train_dataloader(self) -> DataLoader[BoxesItem]:
        """Return batches of the training split in a new order each epoch."""
        replicas, rank = 1, 0
        if self.trainer is not None:
            replicas, rank = self.trainer.world_size, self.trainer.global_rank
        return self._loader("train", self.order(self._known("train"), replicas, rank))

    def val_dataloader(self) -> DataLoader[BoxesItem]:
        """Return batches of the validation split, in its own order."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[BoxesItem]:
        """Return batches of the test split, in its own order."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[BoxesItem]:
        """Return the test split."""
        return self.test_dataloader()

    def order(self, split: Any, replicas: int, rank: int) -> Sampler[int]:
        """Return the order of training, of one of several processes."""
        return EpochShuffle(split, self.seed, replicas, rank)

    def _known(self, name: str) -> Any:
        if name not in self._splits:
            self._splits[name] = self.split(name)
        return self._splits[name]

    def _loader(self, name: str, sampler: Sampler[int] | None = None) -> DataLoader[BoxesItem]:
        return DataLoader(
            self._known(name),
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=collate_boxes,
        )
