"""A split whose items pass through a transform, with draws that can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

Item = tuple[Tensor, int]


class TransformedDataset(Dataset[Item]):
    """The items of a split, each transformed when it is asked for.

    What a transform draws from torch's generator depends on the seed, the epoch and the index
    alone: not on workers, on other items, or on what else draws.

    Args:
        split: Items (anything, label), with `labels`.
        transform: What is done with the first of an item.
        seed: Seed of the draws; None where the transform draws nothing.

    Example:
        >>> from qsnn_plugins.data.frames_module import FramesDataset
        >>> from qsnn_plugins.data.order import Draw
        >>> split = FramesDataset(np.zeros((4, 1, 2, 2, 2), dtype=np.uint8), np.arange(4))
        >>> noisy = TransformedDataset(split, lambda frames: frames + torch.rand(1), seed=0)
        >>> (noisy[Draw(3, epoch=1)][0] == noisy[Draw(3, epoch=1)][0]).all().item()
        True
        >>> (noisy[Draw(3, epoch=1)][0] == noisy[Draw(3, epoch=2)][0]).any().item()
        False
    """

    def __init__(
        self, split: Any, transform: Callable[[Any], Tensor], seed: int | None = None
    ) -> None:
        self.split, self.transform, self.seed = split, transform, seed

    @property
    def labels(self) -> Any:
        """Labels [N] of the split."""
        return self.split.labels

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> Item:
        place = range(len(self))[index]
        item, label = self.split[place]
        if self.seed is None:
            return self.transform(item), label
        # an index that comes without an epoch, as in `data.train[3]`, is one of the first epoch
        with drawing_from(self.seed, getattr(index, "epoch", 0), place):
            return self.transform(item), label


@contextmanager
def drawing_from(*key: int) -> Iterator[None]:
    """Let torch draw from a generator that `key` alone decides, and set its own back at the end.

    Args:
        key: Integers from 0.

    Example:
        >>> with drawing_from(1, 2):
        ...     first = torch.rand(1)
        >>> with drawing_from(1, 2):
        ...     (torch.rand(1) == first).item()
        True
    """
    # torch.manual_seed would reach for the GPU's generators too.
    generator = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))
    try:
        yield
    finally:
        generator.set_state(before)
