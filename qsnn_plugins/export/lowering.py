"""What the runtime does for an integer network: which layers, over which values, in which ways.

Every value lies as [places][channels] per sample and step. Where a node takes a value in another
shape, it is put in that order first.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.lowered import Kind, Layer, Lowered, Method, Type, Value, Way
from qsnn_plugins.export.network import NodeGraph
from qsnn_plugins.export.nodes import (
    Convolution,
    Gather,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Node,
    Output,
    Rescale,
    Span,
    Sum,
    SumPool,
    WideNeuron,
)
from qsnn_plugins.export.reach import products

__all__ = ["code_levels", "code_planes", "lower"]

_PLACES = 2**32  # of codes in a block, which lists of rows tell apart


def lower(network: NodeGraph, has_dot: bool) -> Lowered:
    """Return what the runtime does for a network.

    Args:
        network: What `to_integer` returned.
        has_dot: Whether the machine multiplies four bytes at a time.

    Raises:
        ExportError: If a value does not fit in 32 bits, or a layer is of a kind that is not known.
    """
    return _Lowering(network, has_dot).run()


class _Lowering:
    def __init__(self, network: NodeGraph, has_dot: bool) -> None:
        self.nodes, self.has_dot = network.nodes, has_dot
        self.input, self.spans = network.input, network.spans
        self.values: list[Value] = []
        self.layers: list[Layer] = []
        self.of: list[int] = []  # value of each node
        self.ordered: dict[tuple[int, int], int] = {}
        self.takers = [0] * len(self.nodes)
        for node in self.nodes:
            for place in node.inputs:
                self.takers[place] += 1

    def run(self) -> Lowered:
        first = self.input
        channels = first.shape[0] if first.shape else 1
        self.value(first.span, channels, math.prod(first.shape) // channels)
        place = 0
        while place < len(self.nodes):
            place += self.lower(place, self.nodes[place])
        return Lowered(
            tuple(self.layers),
            tuple(self.values),
            first,
            self.nodes[-1].shape,
        )

    def value(self, span: Span, channels: int, places: int) -> int:
        self.values.append(Value(_type(span), channels, places, span))
        return len(self.values) - 1

    def take(self, place: int, channels: int) -> int:
        """Return the value of a node with so many channels, put in that order where it is not."""
        at = self.of[place]
        value = self.values[at]
        if value.channels == channels:
            return at
        key = at, channels
        if key not in self.ordered:
            name = f"{self.nodes[place].name}.order"
            count = value.channels * value.places
            out = self.value(value.span, channels, count // channels)
            self.layers.append(Layer(Kind.GATHER, name, (at,), out, -1))
            self.ordered[key] = out
        return self.ordered[key]

    def lower(self, place: int, node: Node) -> int:
        """Append a node's layer, and say how many nodes it covers."""
        if isinstance(node, Input):
            self.of.append(0)
            return 1
        if isinstance(node, Convolution | Linear):
            return self.synapse(place, node)
        if isinstance(node, SumPool | MaxPool):
            return self.pool(place, node)
        if isinstance(node, Gather):
            channels = node.shape[0]
            taken = tuple(self.of[i] for i in node.inputs)
        elif isinstance(node, Sum | Rescale | Neuron | Output):
            channels = self.values[self.of[node.inputs[0]]].channels
            taken = tuple(self.take(i, channels) for i in node.inputs)
        else:
            raise ExportError(f"{node.name} is a {type(node).__name__}, which the runtime lacks")
        places = math.prod(node.shape) // channels
        source = self.values[taken[0]]
        layer = Layer(
            _KINDS[type(node)],
            node.name,
            taken,
            -1,
            place,
            sums=_sums(source.span),
            channels=channels,
            places=places,
        )
        if isinstance(node, Rescale):  # whether the products' sum fits in 32 bits too
            half = 1 << node.shift >> 1
            total = products(node, [self.spans[i] for i in node.inputs]) + Span(half, half)
            layer = replace(layer, sums=max(Type.I32, _type(total)))
            if self.fires(place, channels) and channels % node.multipliers.shape[1] == 0:
                return self.append_both(layer, place)
        out = self.value(self.spans[place], channels, places)
        if isinstance(node, Output):
            self.values[out] = replace(self.values[out], type=Type.I64)
        layer = replace(layer, out=out)
        self.layers.append(self.with_neuron(layer, place) if hasattr(node, "bounds") else layer)
        self.of.append(out)
        return 1

    def fires(self, place: int, channels: int) -> bool:
        """Whether a neuron alone takes a node's value, with bounds per channel."""
        behind = self.nodes[place + 1]
        if not isinstance(behind, Neuron) or behind.inputs != (place,):
            return False
        return self.takers[place] == 1 and channels % len(behind.bounds) == 0

    def append_both(self, layer: Layer, place: int) -> int:
        """Append a layer and the neuron behind it as one."""
        out = self.value(self.spans[place + 1], layer.channels, layer.places)
        self.layers.append(self.with_neuron(replace(layer, out=out), place + 1))
        self.of += [out, out]
        return 2

    def with_neuron(self, layer: Layer, place: int) -> Layer:
        node = self.nodes[place]
        assert isinstance(node, Neuron)
        return replace(
            layer,
            name=node.name,
            neuron=place,
            shape=node.shape,
            states=node.count,
            first_state=node.first_state,
        )

    def pool(self, place: int, node: SumPool | MaxPool) -> int:
        channels, *sizes = node.takes
        apart = len(sizes) > 1 and (node.kernel[0], node.stride[0], node.padding[0]) == (1, 1, 0)
        if channels == 1 and apart:  # what is pooled apart is a channel
            channels = sizes[0]
        at = self.take(node.inputs[0], channels)
        places = math.prod(node.shape) // channels
        out = self.value(self.spans[place], channels, places)
        kind = Kind.SUM_POOL if isinstance(node, SumPool) else Kind.MAX_POOL
        self.layers.append(
            Layer(kind, node.name, (at,), out, place, channels=channels, places=places)
        )
        self.of.append(out)
        return 1

    def synapse(self, place: int, node: Convolution | Linear) -> int:
        if isinstance(node, Convolution):
            at, channels = self.take(node.inputs[0], node.takes[0]), len(node.codes)
        else:
            at, channels = self.of[node.inputs[0]], len(node.codes)
        source = self.values[at]
        places = math.prod(node.shape) // channels
        depthwise = (
            isinstance(node, Convolution) and node.groups == len(node.codes) == node.takes[0] > 1
        )
        layer = Layer(
            Kind.DEPTHWISE if depthwise else Kind.SYNAPSE,
            node.name,
            (at,),
            -1,
            place,
            sums=Type.I32 if depthwise else _sums(self.spans[place]),
            ways=() if depthwise else self.ways(node, source, channels),
            channels=channels,
            places=places,
        )
        if not depthwise and self.fires(place, channels):
            return self.append_both(layer, place)
        out = self.value(self.spans[place], channels, places)
        self.layers.append(replace(layer, out=out))
        self.of.append(out)
        return 1

    def ways(self, node: Convolution | Linear, source: Value, channels: int) -> tuple[Way, ...]:
        """Return how a synapse may be summed, where it has to be measured which is fastest."""
        lanes = [n for n in (32, 64, 128) if n < 2 * channels or n == 32]
        lanes = [n for n in lanes if n >= min(64, lanes[-1])]
        greatest = max(-int(node.codes.min()), int(node.codes.max()))
        if source.type is not Type.U8:
            return tuple(Way(Method.PRODUCTS, n) for n in lanes)
        ways: list[Way] = []
        rows = node.codes[0].numel() * (node.groups if isinstance(node, Convolution) else 1)
        lists = [n for n in lanes if rows * n < _PLACES]
        if source.span.high <= 15 and lists:
            ways += [Way(Method.ROWS, n) for n in lists]
        else:
            ways += [Way(Method.PRODUCTS, n) for n in lanes]
        if self.has_dot and greatest <= 127:
            ways.append(Way(Method.DENSE, 64))
        if source.span.high <= 7 and code_planes(node.codes)[0] <= 3:
            ways.append(Way(Method.PLANES, 64))
        return tuple(ways)


def code_levels(codes: Tensor) -> list[int]:
    """Return the codes that occur, ascending, without a copy of all.

    Example:
        >>> code_levels(torch.tensor([3, -1, 3]))
        [-1, 3]
    """
    found: set[int] = set()
    for part in codes.flatten().split(1 << 18):
        found.update(part.unique().tolist())
    return sorted(found)


def code_planes(codes: Tensor) -> tuple[int, int, int]:
    """Return how many bits codes have as `least + scale * number`, and both of these.

    Example:
        >>> code_planes(torch.tensor([-1, 1]))
        (1, 2, -1)
    """
    levels = code_levels(codes)
    least = levels[0]
    scale = math.gcd(*(level - least for level in levels)) or 1
    return max(1, ((levels[-1] - least) // scale).bit_length()), scale, least


def _type(span: Span) -> Type:
    limits = {each: torch.iinfo(each.dtype) for each in Type}
    return next(t for t, i in limits.items() if i.min <= span.low and span.high <= i.max)


def _sums(span: Span) -> Type:
    # one more than the greatest is the bound that is never reached
    return Type.I16 if span.low >= -(2**15) and span.high < 2**15 - 1 else Type.I32


_KINDS = {
    Gather: Kind.GATHER,
    Sum: Kind.SUM,
    Rescale: Kind.RESCALE,
    Neuron: Kind.NEURON,
    WideNeuron: Kind.NEURON,
    Output: Kind.OUTPUT,
}
