"""Histograms of the membranes of each layer, before they are quantized and as they are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.plot.layers import Run, follow_layers
from qsnn_plugins.plot.style import (
    columns_of,
    folded,
    house_style,
    hues,
    new_figure,
    set_legend,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MembraneHistogram", "measure_membranes", "membranes_figure"]

_BINS = 48  # over the middle 99 % of a layer's first batch
_TAIL = 0.001  # share of membranes that is not drawn, at either end
_MOST_LEVELS = 256
_CUT = 2.5  # how much higher than all others a bin is whose top is cut off
_FEW = 5  # levels whose shares stand beside them
_PANEL = 1.7  # inches


@dataclass(frozen=True)
class MembraneHistogram:
    """The membranes of one layer of neurons in all steps, before and after quantization.

    Args:
        name: Full name of the layer.
        width: Width of a bin.
        bins: Centres of bins of equal width, one of them at 0.
        before: Share of membranes in each bin after the reset, before they are quantized.
        levels: Values that are stored; empty where there are more than 256 of them.
        stored: Share of stored membranes at each level, or in each bin where there are no levels.

    Example:
        >>> MembraneHistogram("conv1", 0.5, (-0.5, 0.0), (0.4, 0.6), (-1.0, 0.0), (0.4, 0.6)).levels
        (-1.0, 0.0)
    """

    name: str
    width: float
    bins: tuple[float, ...]
    before: tuple[float, ...]
    levels: tuple[float, ...]
    stored: tuple[float, ...]


def measure_membranes(
    network: nn.Module, batches: Iterable[Tensor], run: Run | None = None
) -> list[MembraneHistogram]:
    """Count the membranes of each layer before they are quantized and as they are stored.

    Before quantization means after the reset, see `measure_layers`. A neuron that quantizes
    nothing stores what it has.

    Args:
        network: See `measure_layers`.
        batches: What `run` takes.
        run: Runs one batch through the network; the default hands [T, N, ...] to it.

    Returns:
        One entry per layer of neurons, in the order of definition.

    Raises:
        ArgumentError: If there is no batch, or the network has no neurons.
        QSNNError: If a membrane is not finite, or a neuron does not show it.

    Example:
        >>> import torch
        >>> from qsnn_plugins.models import StringNet
        >>> (layer,) = measure_membranes(StringNet("4C3-GAP-FC2"), [torch.zeros(3, 2, 2, 6, 6)])
        >>> layer.name, layer.levels, layer.stored
        ('blocks.conv1.neuron', (0.0,), (1.0,))
    """
    layers: dict[str, _Counts] = {}

    def note(name: str, before: Tensor, stored: Tensor, spikes: Tensor) -> None:
        layers.setdefault(name, _Counts(name)).add(before, stored)

    follow_layers(network, batches, note, run)
    return [layer.histogram() for layer in layers.values()]


class _Counts:
    """How often each value of a layer's membranes was found."""

    def __init__(self, name: str) -> None:
        self.name, self.width = name, 0.0
        self.before: Counter[int] = Counter()
        self.stored: Counter[int] = Counter()
        self.levels: Counter[float] = Counter()

    def add(self, before: Tensor, stored: Tensor) -> None:
        for values, counts in ((before, self.before), (stored, self.stored)):
            array = values.detach().double().cpu().numpy().ravel()
            if not np.isfinite(array).all():
                raise QSNNError(f"{self.name} has membranes that are not finite")
            if not self.width:
                low, high = np.quantile(array, (0.005, 0.995))
                self.width = float(high - low) / _BINS or 1 / _BINS
            # a bin around 0, where a hard reset leaves its membranes
            counts.update(_counted(np.rint(array / self.width).astype(np.int64)))
            if values is stored and len(self.levels) <= _MOST_LEVELS:
                self.levels.update(_counted(array))

    def histogram(self) -> MembraneHistogram:
        total = self.before.total()
        first, last = (pick((*self.before, *self.stored)) for pick in (min, max))
        bins = range(first, last + 1)
        levels = sorted(self.levels) if len(self.levels) <= _MOST_LEVELS else []
        stored = [self.levels[v] for v in levels] or [self.stored[i] for i in bins]
        return MembraneHistogram(
            self.name,
            self.width,
            tuple(i * self.width for i in bins),
            tuple(self.before[i] / total for i in bins),
            tuple(levels),
            tuple(count / total for count in stored),
        )


def _counted(array: Any) -> dict[Any, int]:
    values, counts = np.unique(array, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


@house_style()
def membranes_figure(layers: Sequence[MembraneHistogram]) -> Figure:
    """Draw the membranes of each layer before quantization, above, and as they are stored, below.

    The outermost thousandth of the membranes at either end is not drawn. Where a layer stores up
    to five levels, the share of each stands above it. One bin that is far higher than all others,
    such as that of the membranes at 0 that a hard reset leaves, is cut off; its share stands
    beside it.

    Args:
        layers: What `measure_membranes` returns.

    Raises:
        ArgumentError: If there is no layer.

    Example:
        >>> layer = MembraneHistogram("a", 0.5, (-0.5, 0.0), (0.4, 0.6), (-1.0, 0.0), (0.4, 0.6))
        >>> [axes.get_title() for axes in membranes_figure([layer]).axes]
        ['a', '']
    """
    if not layers:
        raise ArgumentError("layers", list(layers), "the histograms of one layer or more")
    columns = columns_of(_PANEL, len(layers))
    rows = ceil(len(layers) / columns)
    figure, axes = new_figure(
        max(_PANEL * columns + 0.3, 2.6), 1.9 * rows + 0.7, rows=2 * rows, columns=columns
    )
    # panels from the left, row by row, the two of a layer below each other
    pairs = axes.reshape(rows, 2, columns).swapaxes(1, 2).reshape(-1, 2)
    for (upper, lower), layer in zip(pairs, layers, strict=False):
        _draw(upper, lower, layer)
        upper.set_title(folded(layer.name), fontsize="small")
    for unused in pairs[len(layers) :].ravel():
        unused.remove()
    set_title(figure, "Membranes before and after quantization")
    for _, lowest in pairs[max(len(layers) - columns, 0) : len(layers)]:
        lowest.set_xlabel("membrane potential")
    figure.supylabel("share of neurons and steps (%)", fontsize="medium")
    handles = [part.patches[0] for part in pairs[0]]
    names = ["before quantization", "as stored"]
    set_legend(figure, 2, handles, names)
    return figure


def _draw(upper: Any, lower: Any, layer: MembraneHistogram) -> None:
    before, after = hues(2)
    shares = [100 * s for s in layer.before]
    upper.bar(layer.bins, shares, layer.width, color=before)
    *_, second, highest = sorted([0.0, *shares])
    if highest > _CUT * second > 0:
        upper.set_ylim(0, 1.7 * second)
        place = (layer.bins[shares.index(highest)], 1.6 * second)
        upper.annotate(
            f"{highest:.0f}", place, (-3, 0), textcoords="offset points", fontsize="small",
            ha="right", va="top",
        )  # fmt: skip
    places = layer.levels or layer.bins
    low, high = _drawn_range(layer)
    width = layer.width if not layer.levels else max(layer.width, 0.03 * (high - low))
    bars = lower.bar(places, [100 * s for s in layer.stored], width, color=after)
    if 0 < len(layer.levels) <= _FEW:
        lower.bar_label(bars, fmt="%.0f", fontsize="small", padding=1)
        lower.margins(y=0.3)
    for part in (upper, lower):
        part.set_xlim(low, high)
        part.grid(axis="x", visible=False)
    upper.tick_params(labelbottom=False)


def _drawn_range(layer: MembraneHistogram) -> tuple[float, float]:
    """Where all but the tails are, and all levels."""
    sums = np.cumsum(layer.before)
    low, high = (int(np.searchsorted(sums, share, side="right")) for share in (_TAIL, 1 - _TAIL))
    ends = (layer.bins[low], layer.bins[min(high, len(sums) - 1)], *layer.levels)
    margin = 0.05 * (max(ends) - min(ends)) + layer.width
    return min(ends) - margin, max(ends) + margin
