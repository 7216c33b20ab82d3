"""What the C needs to know of a network: ranges, types, and what lies where in memory when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from qsnn_plugins.errors import ExportError
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
    Sum,
    SumPool,
    WideNeuron,
)

__all__ = ["Plan", "Slot", "Span", "plan", "sum_type", "width"]

_MOST = 2**31 - 1
_WIDEST = 2**62


@dataclass(frozen=True)
class Span:
    """Integers from `low` to `high`.

    Example:
        >>> Span(0, 1).c_type, Span(0, 15).c_type, Span(-3, 300).c_type
        ('bits', 'uint8_t', 'int16_t')
        >>> Span(0, 15).planes, Span(-3, 300).planes
        (4, 10)
    """

    low: int
    high: int

    @property
    def c_type(self) -> str:
        """How such values lie in memory; bits are packed into bytes."""
        if self.low >= 0 and self.high <= 255:
            return "bits" if self.high <= 1 else "uint8_t"
        return "int16_t" if self.low >= -(2**15) and self.high < 2**15 else "int32_t"

    @property
    def planes(self) -> int:
        """Bits of a value, of which the highest is the sign where there are negative ones."""
        sign = self.low < 0
        return max(1, self.high.bit_length(), (-self.low - 1).bit_length() * sign) + sign

    def __or__(self, other: Span) -> Span:
        """Return what holds both."""
        return Span(min(self.low, other.low), max(self.high, other.high))

    def __add__(self, other: Span) -> Span:
        """Return what sums may be."""
        return Span(self.low + other.low, self.high + other.high)

    def times(self, factors: Tensor) -> Span:
        """Return what products may be with any of the factors."""
        ends = [int(f) * x for f in (factors.min(), factors.max()) for x in (self.low, self.high)]
        return Span(min(ends), max(ends))


def width(c_type: str) -> int:
    """Bytes of an element.

    Example:
        >>> width("int16_t"), width("uint8_t")
        (2, 1)
    """
    return int("".join(filter(str.isdigit, c_type))) // 8


@dataclass
class Slot:
    """Memory that values share which are never needed at the same time.

    Args:
        members: Name, type and elements of each.
    """

    members: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def alignment(self) -> int:
        """Bytes whose multiple its address is."""
        return max(width(c_type) for _, c_type, _ in self.members)

    @property
    def size(self) -> int:
        """Bytes, padded to the alignment."""
        most = max(width(c_type) * count for _, c_type, count in self.members)
        return -(-most // self.alignment) * self.alignment


@dataclass(frozen=True)
class Plan:
    """What the C needs to know of a network.

    Args:
        spans: What each node may give.
        sums: What each convolution's sums may be on the way.
        fused: Convolution whose sums a neuron takes pixel by pixel, by the place of the neuron.
        slots: Memory of values, each in use for a while.
        slot_of: Place in `slots` by the place of the node.
        scratch: Accumulators of one pixel: the type and how many.
    """

    spans: tuple[Span, ...]
    sums: dict[int, Span]
    fused: dict[int, int]
    slots: tuple[Slot, ...]
    slot_of: dict[int, int]
    scratch: Slot

    def c_type(self, place: int) -> str:
        """How the values of a node lie in memory."""
        return _c_type(self.spans, self.sums, place)


def _c_type(spans: Sequence[Span], sums: dict[int, Span], place: int) -> str:
    return sum_type(sums[place]) if place in sums else spans[place].c_type


def plan(network: NodeGraph) -> Plan:
    """Return ranges, types and places in memory.

    Ranges are proven from the codes and tables, whatever the nodes claim, since memory and
    overflow depend on them.

    Args:
        network: What `to_integer` or `load` returned.

    Returns:
        The plan.

    Raises:
        ExportError: If something does not fit into what C computes in.
    """
    nodes = network.nodes
    spans: list[Span] = []
    sums: dict[int, Span] = {}
    for place, node in enumerate(nodes):
        span = _span(node, [spans[i] for i in node.inputs], nodes, sums, place)
        wide = isinstance(node, Output) and place == len(nodes) - 1
        if not wide and not -_MOST < span.low <= span.high < _MOST:
            raise ExportError(
                f"{node.name} gives {span.low}..{span.high}, beyond 32 bits, which the C "
                "computes in"
            )
        bits = math.prod(node.shape) * 32
        bits = (
            max(bits, node.codes.numel() * 16) if isinstance(node, Convolution | Linear) else bits
        )
        if bits > _MOST:
            raise ExportError(f"{node.name} is too large: the C counts bits in 32 bits")
        spans.append(span)
    fused = _fused(nodes)
    slots, slot_of = _place(nodes, spans, sums, fused)
    scratch = Slot()
    for place, node in enumerate(nodes):
        if not isinstance(node, Convolution | Linear):
            continue
        channels = len(node.codes)
        # sums of a single pixel lie where their consumers look for them
        if place in fused.values() or math.prod(node.shape) > channels:
            scratch.members.append((f"of{place}", sum_type(sums[place]), channels))
    return Plan(tuple(spans), sums, fused, tuple(slots), slot_of, scratch)


def sum_type(span: Span) -> str:
    """Return the type of accumulators that hold such sums.

    Example:
        >>> sum_type(Span(0, 1)), sum_type(Span(-40_000, 0))
        ('int16_t', 'int32_t')
    """
    return "int16_t" if span.low >= -(2**15) and span.high < 2**15 else "int32_t"


def _span(
    node: Node, inputs: Sequence[Span], nodes: Sequence[Node], sums: dict[int, Span], place: int
) -> Span:
    if isinstance(node, Input):
        return Span(node.low, node.high)
    if isinstance(node, Convolution | Linear):
        sums[place] = _sums(node, inputs[0], isinstance(nodes[node.inputs[0]], Input))
        return sums[place]
    if isinstance(node, SumPool):
        taps = math.prod(node.kernel)
        return Span(min(0, inputs[0].low) * taps, max(0, inputs[0].high) * taps)
    if isinstance(node, MaxPool):
        return inputs[0]
    if isinstance(node, Sum):
        return _total(inputs)
    if isinstance(node, Gather):
        span = inputs[0]
        for each in inputs[1:]:
            span |= each
        return span
    if isinstance(node, Rescale | Output):
        return _factors(node, inputs)
    if isinstance(node, Neuron | WideNeuron):
        if bool((node.bounds.long().diff(dim=-1) < 0).any()):
            raise ExportError(f"{node.name} has bounds that do not ascend")
        if isinstance(node, WideNeuron):
            charged = inputs[0] + Span(int(node.charge.min()), int(node.charge.max()))
            if not -_MOST < charged.low <= charged.high < _MOST:
                raise ExportError(f"{node.name} has charges beyond 32 bits")
        return Span(int(node.spikes.min()), int(node.spikes.max()))
    raise ExportError(f"{node.name} is of the kind {type(node).__name__}, which has no form in C")


def _sums(node: Convolution | Linear, source: Span, is_frame: bool) -> Span:
    """Return what sums may be on the way, bit by bit and row by row."""
    rows = node.codes.long().flatten(1)
    low, high = int(rows.clamp(max=0).sum(1).min()), int(rows.clamp(min=0).sum(1).max())
    # a frame may hold any value of its bits, whatever it should hold
    most = 2**source.planes - 1 if is_frame else max(abs(source.low), abs(source.high))
    span = Span(low * most, high * most)
    return span | Span(-high * most, -low * most) if source.low < 0 else span


def _factors(node: Rescale | Output, inputs: Sequence[Span]) -> Span:
    """Return what is left of products, none of which is beyond 62 bits."""
    rows = node.multipliers.reshape(len(inputs), -1).long()
    products = [x.times(row) for x, row in zip(inputs, rows, strict=True)]
    bias = Span(int(node.bias.min()), int(node.bias.max()))
    reach = sum(max(-each.low, each.high) for each in (*products, bias))
    if reach >= _WIDEST or int(rows.abs().max()) >= _WIDEST:
        raise ExportError(f"{node.name} has products beyond 62 bits")
    total = _total(products)
    shift = node.shift if isinstance(node, Rescale) else 0
    half = 1 << shift >> 1
    return Span((total.low + half) >> shift, (total.high + half) >> shift) + bias


def _total(spans: Sequence[Span]) -> Span:
    total = Span(0, 0)
    for each in spans:
        total += each
    return total


def _fused(nodes: Sequence[Node]) -> dict[int, int]:
    """Find neurons that are all that takes the sums of a convolution."""
    consumers: dict[int, list[int]] = {}
    for place, node in enumerate(nodes):
        for i in node.inputs:
            consumers.setdefault(i, []).append(place)
    found = {}
    for place, node in enumerate(nodes):
        if not isinstance(node, Neuron | WideNeuron) or len(consumers[node.inputs[0]]) > 1:
            continue
        source = nodes[node.inputs[0]]
        if not isinstance(source, Convolution | Linear):
            continue
        # of other groups, a channel would change its table within a pixel
        if len(node.bounds) in (1, len(source.codes), math.prod(source.shape)):
            found[place] = node.inputs[0]
    return found


def _place(
    nodes: Sequence[Node], spans: Sequence[Span], sums: dict[int, Span], fused: dict[int, int]
) -> tuple[list[Slot], dict[int, int]]:
    """Give each value memory that is free from its making to its last use."""
    last = dict.fromkeys(range(len(nodes)), -1)
    runs_at = {convolution: neuron for neuron, convolution in fused.items()}
    for place, node in enumerate(nodes):
        for i in node.inputs:
            last[i] = max(last[i], runs_at.get(place, place))
    slots: list[Slot] = []
    slot_of: dict[int, int] = {}
    for place, node in enumerate(nodes):
        if isinstance(node, Input | Output) or place in runs_at:
            continue
        c_type, count = _c_type(spans, sums, place), math.prod(node.shape)
        if c_type == "bits":
            c_type, count = "uint8_t", -(-count // 8)
        in_use = {slot for i, slot in slot_of.items() if last[i] >= place}
        free = [i for i in range(len(slots)) if i not in in_use]
        size = width(c_type) * count
        enough = [i for i in free if slots[i].size >= size]
        if enough:
            chosen = min(enough, key=lambda i: slots[i].size)
        elif free:
            chosen = max(free, key=lambda i: slots[i].size)
        else:
            chosen = len(slots)
            slots.append(Slot())
        slots[chosen].members.append((f"of{place}", c_type, count))
        slot_of[place] = chosen
    return slots, slot_of
