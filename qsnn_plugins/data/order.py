"""The training order of the items, in each epoch and process."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data import DistributedSampler, SequentialSampler

from qsnn_plugins.data.workers import WorkerLoader
from qsnn_plugins.errors import QSNNError


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


class EpochOrder(DistributedSampler[Any]):
    """An order that depends on the epoch alone, and may begin within one.

    A run that is resumed goes on in the order that it would have had: Lightning calls `set_epoch`.
    Without such a call, each pass counts as one epoch. It is a DistributedSampler so that Lightning
    leaves it in place where it distributes.

    Args:
        data_source: What is to be ordered; its length counts.
        replicas: Number of processes.
        rank: Which of them this is, from 0.
        seed: Seed of all epochs.
    """

    def __init__(self, data_source: Any, replicas: int = 1, rank: int = 0, seed: int = 0) -> None:
        super().__init__(data_source, num_replicas=replicas, rank=rank, seed=seed)
        self._begun, self._items = 0, 0

    def begin(self, epoch: int, items: int) -> None:
        """Leave out the first items of an epoch, which were trained before it was stopped."""
        self._begun, self._items = epoch, items

    def left_out(self, epoch: int) -> int:
        """Return how many of its items an epoch leaves out."""
        return self._items if epoch == self._begun else 0

    def __iter__(self) -> Iterator[int]:
        epoch = self.epoch
        self.epoch += 1
        yield from islice(self.indices(epoch), self.left_out(epoch), None)

    def indices(self, epoch: int) -> Iterator[int]:
        """Yield this process's indices of an epoch: each order has its own."""
        raise NotImplementedError(f"{type(self).__name__} has no order")


class EpochShuffle(EpochOrder):
    """A training order that depends on the seed and the epoch alone.

    Of one order, each process takes every `replicas`-th item, and the first items come again where
    the order does not divide evenly.

    Args:
        data_source: See `EpochOrder`, as for the others.
        seed: Seed of all epochs.
        replicas: Number of processes.
        rank: Which of them this is, from 0.

    Example:
        >>> order = EpochShuffle(range(4), seed=0)
        >>> first, second = list(order), list(order)
        >>> order.set_epoch(0)
        >>> list(order) == first != second
        True
        >>> order.begin(epoch=1, items=3)
        >>> list(order) == second[3:]
        True
        >>> parts = [set(EpochShuffle(range(4), seed=0, replicas=2, rank=rank)) for rank in (0, 1)]
        >>> sorted(set.union(*parts)), set.intersection(*parts)
        ([0, 1, 2, 3], set())
    """

    def __init__(self, data_source: Any, seed: int, replicas: int = 1, rank: int = 0) -> None:
        super().__init__(data_source, replicas, rank, seed)

    def indices(self, epoch: int) -> Iterator[Draw]:
        """Yield this process's indices of an epoch."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.dataset))  # type: ignore[arg-type]
        mine = np.resize(order, self.total_size)[self.rank :: self.num_replicas]
        for index in mine.tolist():
            yield Draw(index, epoch)


class SameOrder(SequentialSampler):
    """The items as they lie, in every epoch; Lightning calls `set_epoch`, as for an `EpochOrder`.

    Example:
        >>> order = SameOrder(range(3))
        >>> list(order), list(order), order.epoch
        ([0, 1, 2], [0, 1, 2], 2)
    """

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Note which epoch comes."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        return super().__iter__()


class TrainingLoader(WorkerLoader):
    """Batches in an order whose place within the epoch is part of a checkpoint.

    Lightning saves and loads the state of a loader that has one. A place within an epoch is one of
    an order and of a size of batches: another loader refuses it. Where Lightning puts another
    sampler in the place of an `EpochOrder`, as it does to overfit some batches, those that were
    trained before are read and left out.

    Args:
        dataset: The items.
        sampler: Their order.
        **options: See `torch.utils.data.DataLoader`.

    Example:
        >>> loader = TrainingLoader(range(6), batch_size=2, sampler=EpochShuffle(range(6), seed=0))
        >>> first, *rest = loader
        >>> loader.sampler.set_epoch(0)
        >>> batches = iter(loader)
        >>> _ = next(batches)
        >>> place = loader.state_dict()
        >>> loader.sampler.set_epoch(0)
        >>> loader.load_state_dict(place)
        >>> [batch.tolist() for batch in loader] == [batch.tolist() for batch in rest]
        True
    """

    _place = _begun = (0, 0)

    def __init__(self, dataset: Any, sampler: Any = None, **options: Any) -> None:
        if type(sampler) is SequentialSampler:
            sampler = SameOrder(dataset)
        super().__init__(dataset, sampler=sampler, **options)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        epoch = getattr(self.sampler, "epoch", 0)
        begun, items = self._begun
        items = items if epoch == begun else 0
        size = self.batch_size or 1
        unread = 0 if isinstance(self.sampler, EpochOrder) else items // size
        # counts what the training has taken, not what workers have fetched ahead
        for batch in islice(super().__iter__(), unread, None):
            items += size
            self._place = epoch, items
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch, how many of its items were handed out, and of what order."""
        epoch, items = self._place
        return {"epoch": epoch, "items": items, "order": self._order()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begin where another loader was.

        Raises:
            QSNNError: It was within an epoch that has another order here, or other batches.
        """
        known = state.get("order", {})  # not in checkpoints of earlier versions
        for name, now in self._order().items():
            before = known.get(name, now)
            if before != now and 0 < state["items"] < len(self.sampler):  # type: ignore[arg-type]
                raise QSNNError(
                    f"the checkpoint was saved within an epoch, with {name} {before}, and here it "
                    f"is {now}: `fit` goes on with the same; `--ckpt_changes allow` takes the "
                    "weights and trains them anew"
                )
        self._begun = state["epoch"], state["items"]
        if isinstance(self.sampler, EpochOrder):
            self.sampler.begin(*self._begun)

    def _order(self) -> dict[str, Any]:
        """What the place within an epoch depends on, by the names of options."""
        order: Any = self.sampler
        found = {
            "data.batch_size": self.batch_size or 1,
            "the number of processes": getattr(order, "num_replicas", 1),
            "the number of training items": len(self.dataset),  # type: ignore[arg-type]
            "trainer.overfit_batches": "unset",
        }
        if isinstance(order, EpochOrder):
            return found | {"data.seed": order.seed}
        return found | {"trainer.overfit_batches": "set"}
