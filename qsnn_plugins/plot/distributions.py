"""What values weights and spikes take, layer by layer (Q-SNN Fig. 2 and 4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.cost.neurons import all_neurons
from qsnn_plugins.nn import layer_quantizer, weight_layers
from qsnn_plugins.plot.running import Run, run_batches

__all__ = ["Distribution", "spike_distributions", "weight_distributions"]

_MOST_VALUES = 32
_BINS = 16


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
        One entry a Conv and Linear layer, in the order of definition; values from -1 to 1.

    Example:
        >>> from qsnn_plugins.nn import quantize_weights
        >>> from qsnn_plugins.spec import WeightSpec
        >>> layer = nn.Linear(4, 1)
        >>> _ = layer.weight.data.copy_(torch.tensor([[0.5, -2.0, 3.0, 1.0]]))
        >>> _ = quantize_weights(layer, WeightSpec(kind="binary", bits=1, regulation="none"))
        >>> weight_distributions(nn.Sequential(layer))
        [Distribution(name='0', values=(-1.0, 1.0), shares=(0.25, 0.75))]
    """
    return [_of_weights(name, layer) for name, layer in weight_layers(network).items()]


def spike_distributions(
    network: nn.Module, batches: Iterable[Tensor], run: Run | None = None
) -> list[Distribution]:
    """Count the values that the neurons of each layer send, silence included.

    Args:
        network: See `measure_layers`.
        batches: What `run` takes.
        run: Runs one batch through the network; the default hands [T, N, ...] to it.

    Returns:
        One entry a layer of neurons, in the order of definition.

    Raises:
        ArgumentError: If there is no batch.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> spike_distributions(StringNet("4C3-GAP-FC2"), [torch.zeros(3, 2, 2, 6, 6)])
        [Distribution(name='blocks.conv1.neuron', values=(0.0, 1.0), shares=(1.0, 0.0))]
    """
    neurons = all_neurons(network)
    counts = {name: Counter({0.0: 0, 1.0: 0}) for name in neurons}
    handles = [
        neuron.register_forward_hook(partial(_count, counts[name]))
        for name, neuron in neurons.items()
    ]
    try:
        for _ in run_batches(network, batches, run):
            pass
    finally:
        for handle in handles:
            handle.remove()
    return [_shares(name, found) for name, found in counts.items() if found.total()]


def _count(counts: Counter[float], module: nn.Module, args: Any, output: Any) -> None:
    spikes = output[0] if isinstance(output, tuple) else output
    values, found = torch.unique(spikes, return_counts=True)
    counts.update(dict(zip(values.tolist(), found.tolist(), strict=True)))


def _shares(name: str, counts: Counter[float]) -> Distribution:
    # a spike worth its threshold is never 1
    values = sorted(v for v, n in counts.items() if n or v == 0 or len(counts) == 2)
    return Distribution(name, tuple(values), tuple(counts[v] / counts.total() for v in values))


def _of_weights(name: str, layer: Any) -> Distribution:
    quantizer = layer_quantizer(layer)
    if quantizer is None:
        return _binned(name, layer.weight.detach())
    codes, _ = quantizer.codes(layer.parametrizations.weight.original.detach())
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
