"""Classification of frames or images, with a training and a test split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from qsnn_plugins.data.base import BaseDataModule, DataOptions
from qsnn_plugins.data.transformed import Item, TransformedDataset
from qsnn_plugins.errors import ArgumentError


class FramesDataModule(BaseDataModule):
    """A training and a test split of frames or of images, with their loaders.

    Subclasses return their splits in `splits()`. Validation, test and prediction all use the test
    split, as in the papers.

    Args:
        augmentation: Transform of each training item when it is loaded; it may use torch's
            generator. None for no transform.
        **options: Those of `BaseDataModule`.

    Raises:
        ArgumentError: A count is too small, the data set cannot be downloaded, or the frames of a
            `FramesDataset` have another shape than the module says.

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
        augmentation: Callable[[Any], Tensor] | None = None,
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(**options)
        self.augmentation = augmentation
        self.train: Dataset[Item] | None = None
        self.test: Dataset[Item] | None = None

    def splits(self) -> tuple[Dataset[Item], Dataset[Item]]:
        """Return the training and the test split. Subclasses override it."""
        raise NotImplementedError(f"{type(self).__name__} does not say where its splits come from")

    def setup(self, stage: str | None = None) -> None:
        """Load both splits, once."""
        if self.train is None:
            train, self.test = self.splits()
            for each in (train, self.test):
                self._check(each)
            if self.augmentation is not None:
                train = TransformedDataset(train, self.augmentation, self.seed)
            self.train = train

    def _check(self, split: Dataset[Item]) -> None:
        if not isinstance(split, FramesDataset):
            return
        steps = () if self.time_steps is None else (self.time_steps,)
        if split.frames.shape[1:] != (*steps, *self.frame_shape):
            given = f"{self.time_steps} and frame_shape={tuple(self.frame_shape)}"
            allowed = f"what the frames have, which are {list(split.frames.shape)}: [N, T, C, H, W]"
            raise ArgumentError("time_steps", given, f"{allowed}, or [N, C, H, W] for images")

    def split(self, name: str) -> Any:
        """Return the training split for "train", else the test split."""
        self.setup()
        return self.train if name == "train" else self.test


class FramesDataset(Dataset[Item]):
    """Frames and labels in memory.

    Args:
        frames: uint8 [N, T, C, H, W], or images [N, C, H, W].
        labels: int64 [N].

    Raises:
        ArgumentError: If there are not as many labels as frames.

    Example:
        >>> split = FramesDataset(np.ones((3, 5, 2, 8, 8), dtype=np.uint8), np.array([0, 1, 2]))
        >>> frames, label = split[2]
        >>> frames.shape, label
        (torch.Size([5, 2, 8, 8]), 2)
    """

    def __init__(self, frames: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        if len(frames) != len(labels):
            allowed = f"{len(frames)}, as many as frames"
            raise ArgumentError("labels", f"{len(labels)} of them", allowed)
        self.frames = torch.from_numpy(np.ascontiguousarray(frames))
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Item:
        return self.frames[index], int(self.labels[index])
