"""What every data module shares: its loaders, the order of training and its augmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from qsnn_plugins.data.checks import at_least
from qsnn_plugins.data.order import EpochShuffle
from qsnn_plugins.data.transformed import Item, TransformedDataset


class FramesDataModule(LightningDataModule):
    """A training and a test split of frames or of images, with their loaders.

    A data set derives from it and says where its splits come from, in `splits()`. Validation, test
    and prediction all read the test split.

    Args:
        num_classes: Number of classes; labels are 0 to `num_classes - 1`.
        frame_shape: (C, H, W) of one frame, or of an image.
        time_steps: T, the number of frames of an item; None where an item is one still image.
        batch_size: Items a batch.
        num_workers: Processes that load batches; 0 loads them in the training process.
        seed: Seed of the training order and of the augmentation, which depend on it and on the
            epoch alone.
        augmentation: What is done with each training item when it is asked for; it may draw from
            torch's generator. None leaves the items as they are.

    Raises:
        ArgumentError: A count is too small.

    Example:
        >>> class Blank(FramesDataModule):
        ...     def splits(self):
        ...         frames = np.zeros((6, self.time_steps, *self.frame_shape), dtype=np.uint8)
        ...         train, test = np.zeros(4, dtype=np.int64), np.zeros(2, dtype=np.int64)
        ...         return FramesDataset(frames[:4], train), FramesDataset(frames[4:], test)
        >>> data = Blank(num_classes=1, frame_shape=(2, 8, 8), time_steps=5, batch_size=4)
        >>> data.setup()
        >>> frames, labels = next(iter(data.train_dataloader()))
        >>> frames.shape, frames.dtype, labels.dtype
        (torch.Size([4, 5, 2, 8, 8]), torch.uint8, torch.int64)
    """

    def __init__(
        self,
        *,
        num_classes: int,
        frame_shape: tuple[int, int, int],
        time_steps: int | None,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        augmentation: Callable[[Any], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.frame_shape = frame_shape
        if time_steps is not None:
            at_least("time_steps", time_steps, 1)
        self.time_steps = time_steps
        self.batch_size = at_least("batch_size", batch_size, 1)
        self.num_workers = at_least("num_workers", num_workers, 0)
        self.seed = at_least("seed", seed, 0)
        self.augmentation = augmentation
        self.train: Dataset[Item] | None = None
        self.test: Dataset[Item] | None = None

    def splits(self) -> tuple[Dataset[Item], Dataset[Item]]:
        """Return the training and the test split."""
        raise NotImplementedError(f"{type(self).__name__} does not say where its splits come from")

    def setup(self, stage: str | None = None) -> None:
        """Load both splits, once."""
        if self.train is None:
            train, self.test = self.splits()
            if self.augmentation is not None:
                train = TransformedDataset(train, self.augmentation, self.seed)
            self.train = train

    def train_dataloader(self) -> DataLoader[Item]:
        """Return batches of the training split in a new order each epoch."""
        self.setup()
        replicas, rank = 1, 0
        if self.trainer is not None:
            replicas, rank = self.trainer.world_size, self.trainer.global_rank
        return self._loader(self.train, EpochShuffle(self.train, self.seed, replicas, rank))

    def test_dataloader(self) -> DataLoader[Item]:
        """Return batches of the test split, in its own order."""
        self.setup()
        return self._loader(self.test)

    def val_dataloader(self) -> DataLoader[Item]:
        """Return the test split, as the papers do."""
        return self.test_dataloader()

    def predict_dataloader(self) -> DataLoader[Item]:
        """Return the test split."""
        return self.test_dataloader()

    def _loader(self, split: Any, sampler: EpochShuffle | None = None) -> DataLoader[Item]:
        return DataLoader(
            split,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )


class FramesDataset(Dataset[Item]):
    """Frames and labels in memory.

    Args:
        frames: uint8 [N, T, C, H, W].
        labels: int64 [N].

    Example:
        >>> split = FramesDataset(np.ones((3, 5, 2, 8, 8), dtype=np.uint8), np.array([0, 1, 2]))
        >>> frames, label = split[2]
        >>> frames.shape, label
        (torch.Size([5, 2, 8, 8]), 2)
    """

    def __init__(self, frames: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.frames = torch.from_numpy(np.ascontiguousarray(frames))
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Item:
        return self.frames[index], int(self.labels[index])
