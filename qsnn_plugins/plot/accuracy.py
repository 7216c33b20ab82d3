"""Accuracy against the bits of a membrane (IM-SNN Fig. 4) and against memory, with its front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.plot.style import (
    house_style,
    import_matplotlib,
    line_styles,
    new_figure,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MeasuredNetwork", "bits_figure", "memory_figure", "pareto_front"]


@dataclass(frozen=True)
class MeasuredNetwork:
    """A trained network as one point of a figure.

    Args:
        label: What it is called.
        accuracies: Test accuracy in per cent, one per seed.
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
        best = front[-1] if front else None
        if (
            best is None
            or network.accuracy > best.accuracy
            or (network.memory, network.accuracy) == (best.memory, best.accuracy)
        ):
            front.append(network)
    return front


@house_style()
def bits_figure(series: Mapping[str, Sequence[MeasuredNetwork]]) -> Figure:
    """Draw accuracy against the bits of a stored membrane, one line per series.

    Args:
        series: Networks that differ in their membranes, by what the series is called. Bars show
            the standard deviation over seeds.

    Raises:
        ArgumentError: If there is no series.

    Example:
        >>> points = [MeasuredNetwork("", (95.0,), 2, 10), MeasuredNetwork("", (96.0,), 32, 20)]
        >>> bits_figure({"Q-SNN": points}).axes[0].get_xscale()
        'log'
    """
    _check_series(series)
    figure, grid = new_figure(5.0, 3.4)
    axes = grid[0, 0]
    for (label, networks), style in zip(series.items(), line_styles(len(series)), strict=True):
        drawn = sorted(networks, key=lambda n: n.membrane_bits)
        _errorbar(axes, drawn, [n.membrane_bits for n in drawn], label=label, **style)
    ticks = sorted({n.membrane_bits for networks in series.values() for n in networks})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.minorticks_off()
    _label(figure, axes, "Accuracy against membrane precision", "bits of a stored membrane")
    return figure


@house_style()
def memory_figure(series: Mapping[str, Sequence[MeasuredNetwork]]) -> Figure:
    """Draw accuracy against memory, and the Pareto front over all series.

    The label of a network on the front is bold. All have to be tested on the same data.

    Args:
        series: Networks, by what the series is called. Each point bears its label; bars show the
            standard deviation over seeds.

    Raises:
        ArgumentError: If there is no series.

    Example:
        >>> figure = memory_figure({"Q-SNN": [MeasuredNetwork("2 bits", (95.0,), 2, 1000)]})
        >>> figure.axes[0].get_xlabel()
        'memory (kB)'
    """
    _check_series(series)
    locator = import_matplotlib("matplotlib.ticker").LogLocator
    figure, grid = new_figure(5.4, 3.8)
    axes = grid[0, 0]
    drawn = [network for networks in series.values() for network in networks]
    front = pareto_front(drawn)
    places, heights = [n.memory / 1000 for n in front], [n.accuracy for n in front]
    axes.step(places, heights, where="post", color="0.5", linestyle="--", label="Pareto front")
    middle = sqrt(min(n.memory for n in drawn) * max(n.memory for n in drawn))
    for (label, networks), style in zip(series.items(), line_styles(len(series)), strict=True):
        kilobytes = [n.memory / 1000 for n in networks]
        _errorbar(axes, networks, kilobytes, label=label, **style | {"linestyle": "none"})
        for network in networks:
            is_right = network.memory > middle
            axes.annotate(
                network.label,
                (network.memory / 1000, network.accuracy),
                xytext=(-6 if is_right else 6, -11),
                textcoords="offset points",
                horizontalalignment="right" if is_right else "left",
                fontsize="small",
                fontweight="bold" if network in front else "normal",
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(locator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.minorticks_off()
    axes.margins(x=0.1, y=0.15)
    _label(figure, axes, "Accuracy against memory", "memory (kB)")
    return figure


def _check_series(series: Mapping[str, Sequence[MeasuredNetwork]]) -> None:
    """Refuse a figure without points."""
    if not series or not all(series.values()):
        raise ArgumentError("series", list(series), "one series or more, each with networks")


def _errorbar(
    axes: Any, networks: Sequence[MeasuredNetwork], places: list[float], **style: Any
) -> None:
    """Draw accuracies, with bars where there are several seeds."""
    spreads = [n.spread for n in networks]
    bars = spreads if any(spreads) else None
    axes.errorbar(places, [n.accuracy for n in networks], yerr=bars, capsize=3, **style)


def _label(figure: Figure, axes: Any, title: str, xlabel: str) -> None:
    set_title(axes, title)
    axes.set(xlabel=xlabel, ylabel="test accuracy (%)")
    figure.legend(loc="outside lower center")
