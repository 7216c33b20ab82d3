"""How much memory a network's weights and membranes take, in 32 bits and as quantized."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.nn.utils import parametrize

from qsnn_plugins.nn import weight_layers

__all__ = ["LayerMemory", "membrane_memory", "weight_memory"]

FLOAT_BITS = 32


@dataclass(frozen=True)
class LayerMemory:
    """Memory of one layer's weights or membranes.

    Args:
        name: The layer's name in its network.
        kind: What is stored.
        count: How many weights, or how many neurons for one sample.
        bits: Bits that each takes as quantized.

    Example:
        >>> LayerMemory("fc1", "weight", count=1000, bits=4).bytes
        500
    """

    name: str
    kind: Literal["weight", "membrane"]
    count: int
    bits: int

    @property
    def float_bytes(self) -> int:
        """Bytes in 32 bits."""
        return self.count * FLOAT_BITS // 8

    @property
    def bytes(self) -> int:
        """Bytes as quantized, packed without gaps within the layer."""
        return math.ceil(self.count * self.bits / 8)


def weight_memory(network: nn.Module) -> list[LayerMemory]:
    """Count the weights of every Conv and Linear layer, biases and normalization left out.

    Args:
        network: A network whose weights may be parametrized by `nn.quantize_weights`.

    Returns:
        One entry a layer, in the order of definition.

    Example:
        >>> weight_memory(nn.Sequential(nn.Linear(8, 4)))
        [LayerMemory(name='0', kind='weight', count=32, bits=32)]
    """
    rows = []
    for name, layer in weight_layers(network).items():
        bits = FLOAT_BITS
        if parametrize.is_parametrized(layer, "weight"):
            quantizers: Any = layer.parametrizations
            bits = quantizers.weight[0].bits
        rows.append(LayerMemory(name, "weight", layer.weight.numel(), bits))
    return rows


def membrane_memory(neurons: Mapping[str, Any], counts: Mapping[str, int]) -> list[LayerMemory]:
    """Count the stored membranes of every layer of neurons, for one sample.

    Args:
        neurons: Neurons of this package by name.
        counts: How many neurons each layer has, by the same names.

    Returns:
        One entry a layer, in the order of `neurons`.

    Example:
        >>> from qsnn_plugins.spikingjelly import TernaryLIFNode
        >>> membrane_memory({"lif": TernaryLIFNode()}, {"lif": 100})
        [LayerMemory(name='lif', kind='membrane', count=100, bits=2)]
    """
    return [
        LayerMemory(name, "membrane", counts[name], node.quant_spec.membrane.storage_bits)
        for name, node in neurons.items()
    ]
