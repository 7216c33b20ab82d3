"""Accuracy against the bits of a stored membrane (IM-SNN Fig. 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from qsnn_plugins.plot.measured import MeasuredNetwork, check_series
from qsnn_plugins.plot.style import house_style, line_styles, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["bits_figure"]


@house_style()
def bits_figure(series: Mapping[str, Sequence[MeasuredNetwork]]) -> Figure:
    """Draw accuracy against the bits of a stored membrane, one line a series.

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
    check_series(series)
    figure, grid = new_figure(5.0, 3.4)
    axes = grid[0, 0]
    for (label, networks), style in zip(series.items(), line_styles(len(series)), strict=True):
        drawn = sorted(networks, key=lambda n: n.membrane_bits)
        accuracies, bits = [n.accuracy for n in drawn], [n.membrane_bits for n in drawn]
        spreads = [n.spread for n in drawn]
        bars = spreads if any(spreads) else None
        axes.errorbar(bits, accuracies, yerr=bars, capsize=3, label=label, **style)
    ticks = sorted({n.membrane_bits for networks in series.values() for n in networks})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_title("Accuracy against membrane precision")
    axes.set_xlabel("bits of a stored membrane")
    axes.set_ylabel("test accuracy (%)")
    figure.legend(loc="outside lower center")
    return figure
