"""Processes that load batches: they outlive signals to their group, and end with their parent."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

from torch.utils.data import DataLoader

__all__ = ["WorkerLoader"]

_STOPS = (signal.SIGINT, signal.SIGTERM)

# iterators that may have workers, and the processes that began them
_begun: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


class WorkerLoader(DataLoader[Any]):
    """A loader whose workers leave it to the training process what a signal ends.

    A SIGTERM or Ctrl-C reaches a whole group of processes, and the batch that is under way is still
    wanted. So the workers ignore both, from their first moment, also the SIGTERM by which Python
    ends what is left of them when it exits; before that, they are told to return.

    Args:
        dataset: The items.
        **options: See `torch.utils.data.DataLoader`.

    Example:
        >>> [batch.tolist() for batch in WorkerLoader(range(4), batch_size=2)]
        [[0, 1], [2, 3]]
    """

    def __init__(self, dataset: Any, **options: Any) -> None:
        super().__init__(dataset, **{"worker_init_fn": _ignore_stops} | options)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # workers are born with both signals blocked: one may come before they ignore them
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            iterator = super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if self.num_workers and iterator not in _begun:
            _begun[iterator] = os.getpid()
            # what is registered last runs first: before torch waits for each worker
            atexit.unregister(_end_workers)
            atexit.register(_end_workers)
        return iterator


def _ignore_stops(worker: int) -> None:
    for signum in _STOPS:
        signal.signal(signum, signal.SIG_IGN)


def _end_workers() -> None:
    for iterator, process in list(_begun.items()):
        if process == os.getpid():  # a fork has the iterators of its parent
            iterator._shutdown_workers()
