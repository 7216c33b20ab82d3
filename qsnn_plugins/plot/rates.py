"""Firing rates layer by layer, of several ways to spend a bit budget (bit budget Fig. 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from qsnn_plugins.cost import measure_activity
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.plot.layers import Run
from qsnn_plugins.plot.style import (
    house_style,
    layer_ticks,
    line_styles,
    new_figure,
    set_legend,
    set_title,
    start_at_zero,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["measure_rates", "rates_figure"]


def measure_rates(
    network: nn.Module, batches: Iterable[Tensor], run: Run | None = None
) -> dict[str, float]:
    """Measure the firing rate of each layer: the share of neurons and steps that fire.

    A spike of several bits counts once.

    Args:
        network: See `measure_layers`.
        batches: What `run` takes.
        run: Runs one batch through the network; the default hands [T, N, ...] to it.

    Returns:
        Rates from 0 to 1, by the name of the layer.

    Raises:
        ArgumentError: If there is no batch.

    Example:
        >>> import torch
        >>> from qsnn_plugins.models import StringNet
        >>> measure_rates(StringNet("4C3-GAP-FC2"), [torch.zeros(3, 2, 2, 6, 6)])
        {'blocks.conv1.neuron': 0.0}
    """
    return dict(measure_activity(network, batches, "measured", run=run).rates)


@house_style()
def rates_figure(rates: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw the firing rates of several networks of the same layers.

    Args:
        rates: What `measure_rates` returns of each network, by what the network is called, such
            as "S/T = 2/2" for spikes of two bits in two steps.

    Raises:
        ArgumentError: If there is no network or no layer, or the networks have different layers.

    Example:
        >>> figure = rates_figure({"S/T = 1/4": {"conv1": 0.3}, "S/T = 4/1": {"conv1": 0.1}})
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['S/T = 1/4', 'S/T = 4/1']
    """
    if not rates or not all(rates.values()):
        raise ArgumentError("rates", dict(rates), "the rates of one network or more, with layers")
    layers = list(next(iter(rates.values())))
    for label, found in rates.items():
        if list(found) != layers:
            raise ArgumentError(f"layers of {label}", list(found), f"the same as others: {layers}")
    figure, grid = new_figure(max(4.5, 0.6 * len(layers) + 2.0), 3.6)
    axes = grid[0, 0]
    for (label, found), style in zip(rates.items(), line_styles(len(rates)), strict=True):
        axes.plot(range(len(layers)), [100 * r for r in found.values()], label=label, **style)
    set_title(axes, "Firing rates")
    axes.set_ylabel("neurons and steps that fire (%)")
    layer_ticks(axes, layers)
    start_at_zero(axes)
    set_legend(figure, 3)
    return figure
