"""Accuracy against memory, with the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import TYPE_CHECKING

from qsnn_plugins.plot.measured import MeasuredNetwork, check_series, pareto_front
from qsnn_plugins.plot.style import house_style, import_matplotlib, line_styles, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["memory_figure"]


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
    check_series(series)
    ticker = import_matplotlib("matplotlib.ticker")
    figure, grid = new_figure(5.4, 3.8)
    axes = grid[0, 0]
    every = [network for networks in series.values() for network in networks]
    front = pareto_front(every)
    places, heights = [n.memory / 1000 for n in front], [n.accuracy for n in front]
    axes.step(places, heights, where="post", color="0.5", linestyle="--", label="Pareto front")
    middle = sqrt(min(n.memory for n in every) * max(n.memory for n in every))
    for (label, networks), style in zip(series.items(), line_styles(len(series)), strict=True):
        spreads = [n.spread for n in networks]
        axes.errorbar(
            [n.memory / 1000 for n in networks],
            [n.accuracy for n in networks],
            yerr=spreads if any(spreads) else None,
            capsize=3,
            label=label,
            **style | {"linestyle": "none"},
        )
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
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.minorticks_off()
    axes.margins(x=0.1, y=0.15)
    axes.set_title("Accuracy against memory")
    axes.set_xlabel("memory (kB)")
    axes.set_ylabel("test accuracy (%)")
    figure.legend(loc="outside lower center")
    return figure
