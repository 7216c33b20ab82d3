"""Trained networks as points of a figure, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from qsnn_plugins.errors import ArgumentError

__all__ = ["MeasuredNetwork", "pareto_front"]


@dataclass(frozen=True)
class MeasuredNetwork:
    """A trained network as one point of a figure.

    Args:
        label: What it is called.
        accuracies: Test accuracy in per cent, one a seed.
        membrane_bits: Bits of a stored membrane.
        memory: Bytes.

    Raises:
        ArgumentError: If there is no accuracy, or a size is not above 0.

    Example:
        >>> MeasuredNetwork("2 bits", (95.0, 96.0), membrane_bits=2, memory=1000).accuracy
        95.5
    """

    label: str
    accuracies: tuple[float, ...]
    membrane_bits: float
    memory: float

    def __post_init__(self) -> None:
        if not self.accuracies:
            raise ArgumentError("accuracies", self.accuracies, "one accuracy or more")
        for name in ("membrane_bits", "memory"):
            if not getattr(self, name) > 0:
                raise ArgumentError(name, getattr(self, name), "a number above 0")

    @property
    def accuracy(self) -> float:
        """Mean over the seeds."""
        return fmean(self.accuracies)

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds; 0 for one seed."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0


def pareto_front(networks: Sequence[MeasuredNetwork]) -> list[MeasuredNetwork]:
    """Return the networks to which none other is as good in memory and accuracy and better in one.

    Args:
        networks: Any number of them.

    Returns:
        Those on the front, by memory.

    Example:
        >>> small, good = MeasuredNetwork("a", (90.0,), 2, 10), MeasuredNetwork("b", (95.0,), 8, 20)
        >>> bad = MeasuredNetwork("c", (89.0,), 8, 15)
        >>> [network.label for network in pareto_front([good, bad, small])]
        ['a', 'b']
    """
    front: list[MeasuredNetwork] = []
    for network in sorted(networks, key=lambda n: (n.memory, -n.accuracy)):
        is_equal = front and (network.memory, network.accuracy) == (
            front[-1].memory,
            front[-1].accuracy,
        )
        if is_equal or not front or network.accuracy > front[-1].accuracy:
            front.append(network)
    return front


def check_series(series: Mapping[str, Sequence[MeasuredNetwork]]) -> None:
    """Refuse a figure without points."""
    if not series or not all(series.values()):
        raise ArgumentError("series", list(series), "one series or more, each with networks")
