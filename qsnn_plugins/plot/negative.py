"""Negative membranes and their firing rate, layer by layer (IM-SNN Fig. 3)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import negative_firing
from qsnn_plugins.plot.layers import Run, measure_layers
from qsnn_plugins.plot.style import (
    bar_styles,
    house_style,
    layer_ticks,
    new_figure,
    set_legend,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NegativeLayer", "measure_negative", "negative_figure"]


@dataclass(frozen=True)
class NegativeLayer:
    """Negative stored membranes of one layer of neurons.

    Args:
        name: The layer.
        share: Share of neurons and steps whose stored membrane is negative, from 0 to 1.
        rate: Share of those that fire in the next step; NaN where none is negative.

    Example:
        >>> NegativeLayer("conv1", share=0.4, rate=0.05).rate
        0.05
    """

    name: str
    share: float
    rate: float


def measure_negative(
    network: nn.Module, batches: Iterable[Tensor], run: Run | None = None
) -> list[NegativeLayer]:
    """Measure how many stored membranes of each layer are negative, and how many of them fire next.

    On ternary levels the negative ones are those that are stored as -1.

    Args:
        network: See `measure_layers`; of two steps or more.
        batches: What `run` takes.
        run: Runs one batch through the network; the default hands [T, N, ...] to it.

    Returns:
        One entry per layer of neurons, in the order of definition.

    Raises:
        ArgumentError: If the network has one step.

    Example:
        >>> import torch
        >>> from qsnn_plugins.models import StringNet
        >>> measure_negative(StringNet("4C3-GAP-FC2"), [torch.zeros(3, 2, 2, 6, 6)])
        [NegativeLayer(name='blocks.conv1.neuron', share=0.0, rate=nan)]
    """
    means = measure_layers(network, batches, lambda _, q, s: negative_firing(q, s), run)
    return [
        NegativeLayer(name, share, fired / before if before else math.nan)
        for name, (share, before, fired) in ((n, m.tolist()) for n, m in means.items())
    ]


@house_style()
def negative_figure(layers: Sequence[NegativeLayer]) -> Figure:
    """Draw the share of negative membranes of each layer beside their firing rate.

    Args:
        layers: What `measure_negative` returns.

    Raises:
        ArgumentError: If there is no layer.

    Example:
        >>> negative_figure([NegativeLayer("conv1", 0.4, 0.05)]).axes[0].get_ylabel()
        'share (%)'
    """
    if not layers:
        raise ArgumentError("layers", list(layers), "the negative membranes of one layer or more")
    figure, grid = new_figure(max(4.5, 0.7 * len(layers) + 1.5), 3.6)
    axes = grid[0, 0]
    places = [float(i) for i in range(len(layers))]
    dark, hatched = bar_styles(2)
    shares, rates = [100 * a.share for a in layers], [100 * a.rate for a in layers]
    axes.bar([p - 0.2 for p in places], shares, 0.4, label="negative membranes", **dark)
    axes.bar(
        [p + 0.2 for p in places], rates, 0.4, label="of those, fire in the next step", **hatched
    )
    set_title(axes, "Negative stored membranes and their firing rate")
    axes.set_ylabel("share (%)")
    layer_ticks(axes, [a.name for a in layers])
    axes.grid(axis="x", visible=False)
    set_legend(figure, 2)
    return figure
