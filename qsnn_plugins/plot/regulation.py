"""Distributions of weights and spikes with and without a regulation (Q-SNN Fig. 2 and 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.plot.distributions import Distribution
from qsnn_plugins.plot.names import short_names
from qsnn_plugins.plot.style import bar_styles, house_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["distributions_figure"]

_FEW = 4


@house_style()
def distributions_figure(
    weights: Mapping[str, Sequence[Distribution]],
    spikes: Mapping[str, Sequence[Distribution]],
    most: int = 8,
) -> Figure:
    """Draw the distributions of weights, above, and of spikes, below, of several networks.

    Above each panel stand the shares above 0, one a network: p_w of weights and p_s of spikes.

    Args:
        weights: What `weight_distributions` returns, by what the network is called.
        spikes: What `spike_distributions` returns, by the same.
        most: Layers that are drawn, the first ones; the paper draws eight.

    Raises:
        ArgumentError: If there is no network, or the networks have different layers.

    Example:
        >>> weights = [Distribution("conv1", (-1.0, 1.0), (0.75, 0.25))]
        >>> spikes = [Distribution("neuron1", (0.0, 1.0), (0.9, 0.1))]
        >>> figure = distributions_figure({"float": weights}, {"float": spikes})
        >>> [axes.get_title().replace(chr(10), " ") for axes in figure.axes]
        ['conv1 0.25', 'neuron1 0.10']
    """
    rows = [_layers(found, most) for found in (weights, spikes)]
    columns = max(len(row) for row in rows)
    figure, axes = new_figure(max(4.5, 1.25 * columns + 1), 4.6, rows=2, columns=columns)
    styles = bar_styles(len(weights))
    for line, row in zip(axes, rows, strict=True):
        names = short_names([same[0].name for same in row])
        for panel, name, same in zip(line, names, row, strict=False):
            shares = " | ".join(f"{found.positive:.2f}" for found in same)
            panel.set_title(f"{name}\n{shares}", fontsize="small")
            _bars(panel, same, styles)
            if panel is not line[0]:
                panel.tick_params(labelleft=False)
        for panel in line[len(row) :]:
            panel.remove()
    axes[0, 0].set_ylabel("share of weights")
    axes[1, 0].set_ylabel("share of neurons and steps")
    figure.supxlabel(
        "value: weights in parts of the largest, spikes as sent; above a panel: share above 0",
        fontsize="medium",
    )
    handles = axes[0, 0].containers
    figure.legend(handles, list(weights), loc="outside upper center", ncols=len(weights))
    return figure


def _layers(
    found: Mapping[str, Sequence[Distribution]], most: int
) -> list[tuple[Distribution, ...]]:
    names = {label: [layer.name for layer in layers] for label, layers in found.items()}
    if not names or not all(names.values()):
        raise ArgumentError("networks", list(found), "one network or more, with layers")
    first = next(iter(names.values()))
    for label, others in names.items():
        if others != first:
            raise ArgumentError(f"layers of {label}", others, f"the same as others: {first}")
    return list(zip(*found.values(), strict=True))[:most]


def _bars(panel: Any, same: Sequence[Distribution], styles: Sequence[dict[str, Any]]) -> None:
    values = sorted({value for found in same for value in found.values})
    gap = min((b - a for a, b in pairwise(values)), default=1.0)
    width = 0.8 * gap / len(same)
    for i, (found, style) in enumerate(zip(same, styles, strict=True)):
        shift = (i - (len(same) - 1) / 2) * width
        panel.bar([v + shift for v in found.values], found.shares, width, **style)
    panel.set_ylim(0, 1)
    panel.grid(axis="x", visible=False)
    if len(values) <= _FEW:
        panel.set_xticks(values, [f"{value:.2g}" for value in values])
