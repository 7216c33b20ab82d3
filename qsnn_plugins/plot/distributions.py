"""What values weights and spikes take with and without a regulation (Q-SNN Fig. 2 and 4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from qsnn_plugins.cost.neurons import all_neurons, evaluate_batches
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import (
    ForwardMonitor,
    output_spikes,
    stored_quantizer,
    stored_weight,
    weight_layers,
)
from qsnn_plugins.plot.layers import Run
from qsnn_plugins.plot.style import (
    bar_styles,
    columns_of,
    folded,
    house_style,
    hues,
    import_matplotlib,
    new_figure,
    set_legend,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Distribution", "distributions_figure", "spike_distributions", "weight_distributions"]

_MOST_VALUES = 32
_BINS = 16
_FEW = 4
_PANEL = 1.7  # inches
_DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Distribution:
    """How often each value occurs in one layer.

    Args:
        name: The layer.
        values: Values, ascending.
        shares: Share of each, from 0 to 1.

    Example:
        >>> Distribution("conv1", (-1.0, 1.0), (0.25, 0.75)).positive
        0.75
    """

    name: str
    values: tuple[float, ...]
    shares: tuple[float, ...]

    @property
    def positive(self) -> float:
        """Share above 0: p_w of binary weights, p_s of spikes (Q-SNN Eq. 11)."""
        return sum(share for v, share in zip(self.values, self.shares, strict=True) if v > 0)


def weight_distributions(network: nn.Module) -> list[Distribution]:
    """Count the values of each layer's weights, in parts of the largest.

    Quantized weights are counted by their integer codes, so that the scales of channels do not
    matter; more than 32 levels, and float weights, are counted in 16 bins of equal width.

    Args:
        network: Any network.

    Returns:
        One entry per layer of `nn.weight_layers`, in the order of definition; values from -1 to 1.

    Example:
        >>> from qsnn_plugins.nn import quantize_weights
        >>> from qsnn_plugins.spec import WeightSpec
        >>> layer = nn.Linear(4, 1)
        >>> _ = layer.weight.data.copy_(torch.tensor([[0.5, -2.0, 3.0, 1.0]]))
        >>> _ = quantize_weights(layer, WeightSpec(kind="binary", bits=1, regulation="none"))
        >>> weight_distributions(nn.Sequential(layer))
        [Distribution(name='0', values=(-1.0, 1.0), shares=(0.25, 0.75))]
    """
    return [_weight_distribution(name, layer) for name, layer in weight_layers(network).items()]


def spike_distributions(
    network: nn.Module, batches: Iterable[Tensor], run: Run | None = None
) -> list[Distribution]:
    """Count the values that the neurons of each layer send, silence included.

    Args:
        network: See `measure_layers`.
        batches: What `run` takes.
        run: Runs one batch through the network; the default hands [T, N, ...] to it.

    Returns:
        One entry per layer of neurons, in the order of definition.

    Raises:
        ArgumentError: If there is no batch.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> spike_distributions(StringNet("4C3-GAP-FC2"), [torch.zeros(3, 2, 2, 6, 6)])
        [Distribution(name='blocks.conv1.neuron', values=(0.0, 1.0), shares=(1.0, 0.0))]
    """
    with ForwardMonitor(all_neurons(network), _count_values) as monitor:
        for _ in evaluate_batches(network, batches, run):
            pass
    return [_spike_distribution(name, counts) for name, counts in monitor.sums.items()]


def _count_values(neuron: nn.Module, inputs: Any, output: Any) -> Counter[float]:
    values, counts = torch.unique(output_spikes(output), return_counts=True)
    return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _spike_distribution(name: str, counts: Counter[float]) -> Distribution:
    # both values of a silent layer; a spike worth its threshold is never 1
    values = sorted({*counts, 0.0} | ({1.0} if set(counts) <= {0.0} else set()))
    return Distribution(name, tuple(values), tuple(counts[v] / counts.total() for v in values))


def _weight_distribution(name: str, layer: Any) -> Distribution:
    quantizer = stored_quantizer(layer)
    if quantizer is None:
        return _binned(name, layer.weight.detach())
    codes, _ = quantizer.codes(stored_weight(layer).detach())
    if len(quantizer.levels) > _MOST_VALUES:
        return _binned(name, codes)
    largest = max(abs(level) for level in quantizer.levels)
    found = [int((codes == level).sum()) / codes.numel() for level in quantizer.levels]
    return Distribution(name, tuple(level / largest for level in quantizer.levels), tuple(found))


def _binned(name: str, values: Tensor) -> Distribution:
    values = values.flatten().double()
    largest = float(values.abs().max()) or 1.0
    counts = torch.histc(values / largest, bins=_BINS, min=-1.0, max=1.0)
    middles = (2 * torch.arange(_BINS) + 1) / _BINS - 1
    return Distribution(name, tuple(middles.tolist()), tuple((counts / values.numel()).tolist()))


@house_style()
def distributions_figure(
    weights: Mapping[str, Sequence[Distribution]],
    spikes: Mapping[str, Sequence[Distribution]],
    most: int = 8,
) -> Figure:
    """Draw the distributions of weights, above, and of spikes, below, of several networks.

    Above each panel stand the full name of the layer and the shares above 0, one per network: p_w
    of weights and p_s of spikes. Few values are bars; where a network has more than four, such as
    4-bit and float weights, each network is an outline,
    or stems where its levels are not evenly spaced.

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
    blocks = [_common_layers(found, most) for found in (weights, spikes)]
    columns = columns_of(_PANEL, max(len(block) for block in blocks))
    rows = [ceil(len(block) / columns) for block in blocks]
    figure, axes = new_figure(
        max(_PANEL * columns + 0.3, 4.5), 1.6 * sum(rows) + 1.0, rows=sum(rows), columns=columns
    )
    styles = [
        style | {"facecolor": hue}
        for style, hue in zip(bar_styles(len(weights)), hues(len(weights)), strict=True)
    ]
    names = (("share of weights", "part of the largest"), ("share of steps", "spike"))
    for block, lines, (ylabel, xlabel) in zip(
        blocks, (axes[: rows[0]], axes[rows[0] :]), names, strict=True
    ):
        panels = lines.ravel()
        for panel, same in zip(panels, block, strict=False):
            shares = " | ".join(f"{found.positive:.2f}" for found in same)
            panel.set_title(f"{folded(same[0].name)}\n{shares}", fontsize="small")
            _draw(panel, same, styles)
        for panel in panels[len(block) :]:
            panel.remove()
        for panel in panels[max(len(block) - columns, 0) : len(block)]:
            panel.set_xlabel(xlabel)
        for panel in panels[: len(block) : columns]:
            panel.set_ylabel(ylabel)
    set_title(figure, "Weights and spikes; above each panel: share above 0")
    patch = import_matplotlib("matplotlib.patches").Patch
    set_legend(figure, 4, [patch(**style) for style in styles], list(weights))
    return figure


def _common_layers(
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


def _draw(panel: Any, same: Sequence[Distribution], styles: Sequence[dict[str, Any]]) -> None:
    """Bars beside each other for a few values, outlines for many, each on values of its own."""
    values = sorted({value for found in same for value in found.values})
    panel.grid(axis="x", visible=False)
    if len(values) > _FEW:
        for found, style, dashes in zip(same, styles, _DASHES, strict=False):
            colour, gaps = style["facecolor"], [b - a for a, b in pairwise(found.values)]
            if max(gaps, default=1) > 1.01 * min(gaps, default=1):  # such as powers of two
                panel.vlines(found.values, 0, found.shares, color=colour)
                panel.plot(found.values, found.shares, "o", color=colour, markersize=3)
            else:
                panel.step(found.values, found.shares, where="mid", color=colour, linestyle=dashes)
        panel.set_ylim(0, 1.1 * max(max(found.shares) for found in same))
        return
    gap = min((b - a for a, b in pairwise(values)), default=1.0)
    width = 0.8 * gap / len(same)
    for i, (found, style) in enumerate(zip(same, styles, strict=True)):
        shift = (i - (len(same) - 1) / 2) * width
        panel.bar([v + shift for v in found.values], found.shares, width, **style)
    panel.set_ylim(0, 1)
    panel.set_xticks(values, [f"{value:.2g}" for value in values])
