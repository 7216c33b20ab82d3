"""Membranes below a clipping bound, and the share of them that still fires (IM-SNN Fig. 2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import silent_region
from qsnn_plugins.plot.layers import Run, measure_layers
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

__all__ = ["BOUNDS", "ClippedLayer", "clipping_figure", "measure_clipping"]

BOUNDS = (-5.0, -4.0, -3.0, -2.0, -1.0)


@dataclass(frozen=True)
class ClippedLayer:
    """What a clipping bound would take from one layer of neurons.

    Shares are means over all neurons and samples, from 0 to 1.

    Args:
        name: The layer.
        lowest: Mean over the samples of the lowest membrane of all steps.
        bounds: Clipping bounds c.
        below: Share of first membranes below each bound (IM-SNN Eq. 3).
        firing: Share that is below it and fires in a later step.
        rates: r_s of each bound (IM-SNN Eq. 4).

    Example:
        >>> ClippedLayer("conv1", -4.0, (-1.0,), (0.25,), (0.0125,), (0.01,)).still_firing
        (0.05,)
    """

    name: str
    lowest: float
    bounds: tuple[float, ...]
    below: tuple[float, ...]
    firing: tuple[float, ...]
    rates: tuple[float, ...]

    @property
    def still_firing(self) -> tuple[float, ...]:
        """Share of those below each bound that fire later; NaN where none is below it."""
        pairs = zip(self.firing, self.below, strict=True)
        return tuple(firing / below if below else math.nan for firing, below in pairs)


def measure_clipping(
    network: nn.Module,
    batches: Iterable[Tensor],
    bounds: Sequence[float] = BOUNDS,
    run: Run | None = None,
) -> list[ClippedLayer]:
    """Measure which membranes of each layer lie below clipping bounds and fire all the same.

    Args:
        network: See `measure_layers`; of two steps or more.
        batches: What `run` takes.
        bounds: Clipping bounds c; the paper's are -5 to -1.
        run: Runs one batch through the network; the default hands [T, N, ...] to it.

    Returns:
        One entry per layer of neurons, in the order of definition.

    Raises:
        ArgumentError: If there is no bound, or the network has one step.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> layers = measure_clipping(StringNet("4C3-GAP-FC2"), [torch.zeros(3, 2, 2, 6, 6)])
        >>> layers[0].name, layers[0].below
        ('blocks.conv1.neuron', (0.0, 0.0, 0.0, 0.0, 0.0))
    """
    if not all(map(math.isfinite, bounds)):
        raise ArgumentError("bounds", list(bounds), "finite bounds")
    if not bounds:
        raise ArgumentError("bounds", list(bounds), "one bound or more")

    def measure(before: Tensor, stored: Tensor, spikes: Tensor) -> Tensor:
        lowest = before.transpose(0, 1).flatten(1).amin(1).double().mean()
        return torch.cat([lowest[None], silent_region(before, spikes, bounds).flatten()])

    layers = []
    for name, means in measure_layers(network, batches, measure, run).items():
        below, firing, rates = (tuple(part) for part in means[1:].reshape(-1, 3).T.tolist())
        layers.append(ClippedLayer(name, float(means[0]), tuple(bounds), below, firing, rates))
    return layers


@house_style()
def clipping_figure(layers: Sequence[ClippedLayer]) -> Figure:
    """Draw the share of membranes below each bound that still fire, and their firing rate.

    Above: of the membranes below c after the first step, the share that fires later; a layer that
    has none has no mark. Below: r_s, as IM-SNN prints it, a share of all neurons. Behind the name
    of a layer stands its lowest membrane.

    Args:
        layers: What `measure_clipping` returns.

    Raises:
        ArgumentError: If there is no layer.

    Example:
        >>> layer = ClippedLayer("conv1", -4.0, (-1.0,), (0.25,), (0.0125,), (0.01,))
        >>> [axes.get_ylabel() for axes in clipping_figure([layer]).axes]
        ['of those, fire later (%)', 'firing rate $r_s$ (%)']
    """
    if not layers:
        raise ArgumentError("layers", list(layers), "the clipped membranes of one layer or more")
    figure, axes = new_figure(max(4.5, 0.6 * len(layers) + 2.5), 5.0, rows=2)
    upper, lower = axes[:, 0]
    places = range(len(layers))
    bounds = layers[0].bounds
    for i, (bound, style) in enumerate(zip(bounds, line_styles(len(bounds)), strict=True)):
        label = f"below {bound:g}"
        upper.plot(places, [100 * a.still_firing[i] for a in layers], label=label, **style)
        lower.plot(places, [100 * a.rates[i] for a in layers], label=label, **style)
    set_title(upper, "Membranes below a bound after the first step")
    upper.set_ylabel("of those, fire later (%)")
    lower.set_ylabel("firing rate $r_s$ (%)")
    lower.set_xlabel("layer (and its lowest membrane)")
    upper.set_xticks(places, [""] * len(layers))
    layer_ticks(lower, [f"{a.name} ({a.lowest:.1f})" for a in layers])
    for part in (upper, lower):
        part.set_xlim(-0.5, len(layers) - 0.5)
        start_at_zero(part)
    set_legend(figure, 5, side="upper")
    return figure
