"""The order of training: which item comes when, in each epoch and on each process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import DistributedSampler


class Draw(int):
    """The index of an item, and the epoch for which it is drawn.

    A worker process cannot ask the trainer for the epoch; so each index carries it.

    Args:
        index: The index.
        epoch: The epoch.

    Example:
        >>> draw = Draw(7, epoch=3)
        >>> "abcdefgh"[draw], draw.epoch
        ('h', 3)
    """

    epoch: int

    def __new__(cls, index: int, epoch: int) -> Draw:
        """Return the index, with its epoch."""
        draw = super().__new__(cls, index)
        draw.epoch = epoch
        return draw

    def __getnewargs__(self) -> tuple[int, int]:  # type: ignore[override]
        """Return what pickle builds it from."""
        return int(self), self.epoch


class EpochShuffle(DistributedSampler[Any]):
    """A training order that depends on the seed and the epoch alone.

    A run that is resumed at an epoch goes on in the order that it would have had: Lightning calls
    `set_epoch`. Without such a call, each pass counts as one epoch. It is a DistributedSampler so
    that Lightning leaves it in place where it distributes: of one order, each process takes every
    `replicas`-th item, and the first items come again where the order does not divide evenly.

    Args:
        data_source: What is to be ordered; its length counts.
        seed: Seed of all epochs.
        replicas: Number of processes.
        rank: Which of them this is, from 0.

    Example:
        >>> order = EpochShuffle(range(4), seed=0)
        >>> first, second = list(order), list(order)
        >>> order.set_epoch(0)
        >>> list(order) == first != second
        True
        >>> parts = [set(EpochShuffle(range(4), seed=0, replicas=2, rank=rank)) for rank in (0, 1)]
        >>> sorted(set.union(*parts)), set.intersection(*parts)
        ([0, 1, 2, 3], set())
    """

    def __init__(self, data_source: Any, seed: int, replicas: int = 1, rank: int = 0) -> None:
        super().__init__(data_source, num_replicas=replicas, rank=rank, seed=seed)

    def __iter__(self) -> Iterator[Draw]:
        epoch = self.epoch
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.dataset))  # type: ignore[arg-type]
        mine = np.resize(order, self.total_size)[self.rank :: self.num_replicas]
        self.epoch += 1
        for index in mine.tolist():
            yield Draw(index, epoch)
