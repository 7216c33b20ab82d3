"""Accuracy against the bits of a membrane (IM-SNN Fig. 4) and against memory, with its front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import TYPE_CHECKING, Any

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.plot.labels import Label, place_labels
from qsnn_plugins.plot.seeds import interval_of_mean
from qsnn_plugins.plot.style import (
    house_style,
    hues,
    import_matplotlib,
    line_styles,
    new_figure,
    set_legend,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MeasuredNetwork", "bits_figure", "pareto_front", "tradeoff_figure"]

_FLOAT_BITS = 32
_FLOAT = {"marker": "*", "color": "black", "markersize": 10, "linestyle": "none"}


@dataclass(frozen=True)
class MeasuredNetwork:
    """A trained network as one point of a figure.

    Args:
        label: What it is called beside its point.
        accuracies: Test accuracy in per cent, one per seed.
        membrane_bits: Bits of a stored membrane; None where they are not known.
        memory: Bytes.
        is_float: Whether it quantizes nothing: what the others are compared with.
        is_fine_tuned: Whether it began with the weights of a trained network.
        metric: What the accuracies are, such as "mAP" of a detector.

    Raises:
        ArgumentError: If there is no accuracy, or one that is not finite, or a size is given that
            is not above 0.

    Example:
        >>> MeasuredNetwork("2 bits", (95.0, 96.0), membrane_bits=2, memory=1000).accuracy
        95.5
    """

    label: str
    accuracies: tuple[float, ...]
    membrane_bits: float | None
    memory: float
    is_float: bool = False
    is_fine_tuned: bool = False
    metric: str = "accuracy"

    def __post_init__(self) -> None:
        if not self.accuracies or not all(map(isfinite, self.accuracies)):
            raise ArgumentError("accuracies", self.accuracies, "one finite accuracy or more")
        for name, size in (("membrane_bits", self.membrane_bits), ("memory", self.memory)):
            if size is not None and not size > 0:
                raise ArgumentError(name, size, "a number above 0")

    @property
    def accuracy(self) -> float:
        """Mean over the runs."""
        return fmean(self.accuracies)

    @property
    def interval(self) -> float:
        """Half the 95 % confidence interval of the mean, by Student's t; 0 for one seed."""
        return interval_of_mean(self.accuracies)


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

    Points are means over seeds and folds, bars their 95 % confidence intervals.

    Args:
        series: Networks that differ in their membranes, by what the series is called.

    Raises:
        ArgumentError: If there is no series, the bits of a membrane are not known, or the metrics
            differ.

    Example:
        >>> points = [MeasuredNetwork("", (95.0,), 2, 10), MeasuredNetwork("", (96.0,), 32, 20)]
        >>> axes = bits_figure({"Q-SNN": points}).axes[0]
        >>> [tick.get_text() for tick in axes.get_xticklabels()]
        ['2', '32 (float)']
    """
    metric = _metric_of(series)
    figure, grid = new_figure(5.0, 3.6)
    axes = grid[0, 0]
    for (label, networks), style in zip(series.items(), line_styles(len(series)), strict=True):
        drawn = sorted(networks, key=_bits)
        if len(set(map(_bits, drawn))) < len(drawn):
            style["linestyle"] = "none"  # several of the same bits are no line
        _errorbar(axes, drawn, list(map(_bits, drawn)), label=label, **style)
    ticks = sorted({_bits(n) for networks in series.values() for n in networks})
    names = [f"{t:.3g}" if t < _FLOAT_BITS else f"{t:.3g} (float)" for t in ticks]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, names)
    axes.minorticks_off()
    axes.margins(x=0.1, y=0.1)
    set_title(axes, f"{_capitalized(metric)} against membrane precision")
    axes.set(xlabel="bits of a stored membrane", ylabel=_axis_of(series, metric))
    set_legend(figure, 3)
    return figure


@house_style()
def tradeoff_figure(
    series: Mapping[str, Sequence[MeasuredNetwork]], counted: str = "weights and membranes"
) -> Figure:
    """Draw accuracy against memory, and the Pareto front over all networks.

    Points are means over seeds and folds, bars their 95 % confidence intervals. A float network is
    a star. Where some networks were fine-tuned from trained weights and others trained from
    scratch, the latter are open, and one label is for both. The label of a network on the front is
    bold. All have to be tested on the same data.

    Args:
        series: Networks, by the method that quantized them. Each point bears its label.
        counted: What the memory is of, for the axis.

    Raises:
        ArgumentError: If there is no series, or the metrics differ.

    Example:
        >>> figure = tradeoff_figure({"Q-SNN": [MeasuredNetwork("2 bits", (95.0,), 2, 1000)]})
        >>> figure.axes[0].get_xlabel()
        'weights and membranes (kB)'
    """
    metric = _metric_of(series)
    figure, grid = new_figure(6.4, 4.6)
    axes = grid[0, 0]
    drawn = [network for networks in series.values() for network in networks]
    front = pareto_front(drawn)
    places, heights = [n.memory / 1000 for n in front], [n.accuracy for n in front]
    axes.step(
        places, heights, where="post", color="0.55", linestyle="--", zorder=1, label="Pareto front"
    )
    both_ways = {n.is_fine_tuned for n in drawn if not n.is_float} == {True, False}
    quantized = {m: [n for n in found if not n.is_float] for m, found in series.items()}
    quantized = {method: found for method, found in quantized.items() if found}
    floats = {m: [n for n in found if n.is_float] for m, found in series.items()}
    for label, networks in floats.items():
        if networks:
            _points(axes, networks, label=label, **_FLOAT)
    styles = zip(line_styles(len(quantized)), hues(len(quantized)), strict=True)
    for (label, networks), (style, hue) in zip(quantized.items(), styles, strict=True):
        style |= {"linestyle": "none", "color": hue}
        is_filled = [n.is_fine_tuned or not both_ways for n in networks]
        filled = [n for n, fills in zip(networks, is_filled, strict=True) if fills]
        opened = [n for n, fills in zip(networks, is_filled, strict=True) if not fills]
        _points(axes, filled, label=label, **style)
        _points(axes, opened, label="_" if filled else label, **style, markerfacecolor="white")
    if both_ways:
        for name, face in (("fine-tuned from float", "0.4"), ("from scratch", "white")):
            axes.plot([], [], "o", color="0.4", markerfacecolor=face, label=name)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(import_matplotlib("matplotlib.ticker").LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.minorticks_off()
    axes.margins(x=0.12, y=0.08)
    set_title(axes, f"{_capitalized(metric)} against memory")
    axes.set(xlabel=f"{counted} (kB)", ylabel=_axis_of(series, metric))
    set_legend(figure, 4)
    points = [(n.memory / 1000, n.accuracy) for n in drawn]
    ends = [
        (n.memory / 1000, n.accuracy + sign * n.interval)
        for n in drawn for sign in (-1, 1) if n.interval
    ]  # fmt: skip
    # one label for what was trained in both ways
    twins = {(n.label, n.memory) for n in drawn if n.is_fine_tuned}
    named = [n for n in drawn if n.is_fine_tuned or (n.label, n.memory) not in twins]
    named.sort(key=lambda n: n not in front)
    halo = import_matplotlib("matplotlib.patheffects").withStroke(linewidth=2, foreground="white")
    labels = [
        Label.around(
            n.label, (n.memory / 1000, n.accuracy), 5.0, fontsize="small", path_effects=[halo],
            zorder=1.5, fontweight="bold" if n in front else "normal",
        )
        for n in named
    ]  # fmt: skip
    place_labels(figure, axes, labels, points + ends)
    return figure


def _metric_of(series: Mapping[str, Sequence[MeasuredNetwork]]) -> str:
    """Return the one metric of a figure; refuse one without points."""
    if not series or not all(series.values()):
        raise ArgumentError("series", list(series), "one series or more, each with networks")
    metrics = list(dict.fromkeys(n.metric for networks in series.values() for n in networks))
    if len(metrics) > 1:
        raise ArgumentError("metric", metrics, "networks with the same one")
    return metrics[0]


def _capitalized(metric: str) -> str:
    return metric.capitalize() if metric.islower() else metric


def _bits(network: MeasuredNetwork) -> float:
    if network.membrane_bits is None:
        raise ArgumentError("membrane_bits", None, "a number above 0 for each network")
    return network.membrane_bits


def _points(axes: Any, networks: Sequence[MeasuredNetwork], **style: Any) -> None:
    if networks:
        _errorbar(axes, networks, [n.memory / 1000 for n in networks], **style)


def _errorbar(
    axes: Any, networks: Sequence[MeasuredNetwork], places: list[float], **style: Any
) -> None:
    """Draw accuracies, with bars where there are several seeds."""
    intervals = [n.interval for n in networks]
    bars = intervals if any(intervals) else None
    axes.errorbar(
        places, [n.accuracy for n in networks], yerr=bars, capsize=2, elinewidth=0.8, **style
    )


def _axis_of(series: Mapping[str, Sequence[MeasuredNetwork]], metric: str) -> str:
    """The axis, and what a point and its bar are of."""
    runs = sorted({len(n.accuracies) for networks in series.values() for n in networks})
    if runs == [1]:
        return f"test {metric} (%), one seed"
    numbers = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    return f"test {metric} (%)\nmean and 95 % interval, {numbers} runs"
