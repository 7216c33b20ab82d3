"""Evenly spaced test samples: the first ones of recordings sorted by class are all of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, Subset

from qsnn_plugins.data.workers import WorkerLoader


def spaced_batches(loader: Any, count: int) -> Iterator[Any]:
    """Yield at most `count` batches of evenly spaced items of what a loader reads.

    A loader that does not batch single items yields evenly spaced ones of its batches.

    Args:
        loader: Usually a `DataLoader`; its batch size and its collate function are kept.
        count: How many batches.

    Example:
        >>> [batch.tolist() for batch in spaced_batches(DataLoader(range(10), batch_size=2), 2)]
        [[0, 3], [6, 9]]
    """
    if not _batches_items(loader):
        numbers = set(_spaced(len(loader), count))
        yield from (batch for number, batch in enumerate(loader) if number in numbers)
        return
    order = list(loader.sampler)
    places = _spaced(len(order), count * loader.batch_size)
    yield from WorkerLoader(
        Subset(loader.dataset, [order[place] for place in places]),
        batch_size=loader.batch_size,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        drop_last=loader.drop_last,
        worker_init_fn=loader.worker_init_fn,
    )


def _batches_items(loader: Any) -> bool:
    return (
        isinstance(loader, DataLoader)
        and loader.batch_size is not None
        and not isinstance(loader.dataset, IterableDataset)
    )


def _spaced(length: int, count: int) -> list[int]:
    """At most `count` evenly spaced numbers below a length."""
    return np.linspace(0, length - 1, min(count, length), dtype=int).tolist()
