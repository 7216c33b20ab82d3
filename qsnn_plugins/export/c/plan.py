"""What the C needs to know of a network: ranges, types, and what lies where in memory when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.network import NodeGraph
from qsnn_plugins.export.nodes import (
    Convolution,
    Input,
    Linear,
    Neuron,
    Node,
    Output,
    Span,
)
from qsnn_plugins.export.reach import fitting, reach
from qsnn_plugins.export.reach import sums as reach_of_sums

__all__ = ["Plan", "Slot", "bit_planes", "plan", "sum_type", "value_type", "width"]

_MOST = 2**31 - 1  # bits that indices count


def value_type(span: Span) -> str:
    """Return how such values lie in memory; bits are packed into bytes.

    Example:
        >>> value_type(Span(0, 1)), value_type(Span(0, 15)), value_type(Span(-3, 300))
        ('bits', 'uint8_t', 'int16_t')
    """
    if span.low >= 0 and span.high <= 255:
        return "bits" if span.high <= 1 else "uint8_t"
    return sum_type(span)


def bit_planes(span: Span) -> int:
    """Return the bits of a value, of which the highest is the sign where there are negative ones.

    Example:
        >>> bit_planes(Span(0, 15)), bit_planes(Span(-3, 300))
        (4, 10)
    """
    sign = span.low < 0
    return max(1, span.high.bit_length(), (-span.low - 1).bit_length() * sign) + sign


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
    return sum_type(sums[place]) if place in sums else value_type(spans[place])


def plan(network: NodeGraph) -> Plan:
    """Return ranges, types and places in memory.

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
        span = reach(node, [spans[i] for i in node.inputs])
        if isinstance(node, Convolution | Linear):
            source = node.inputs[0]
            on_the_way = _sums(node, spans[source], isinstance(nodes[source], Input))
            sums[place] = fitting(node, on_the_way | span)
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


def _sums(node: Convolution | Linear, source: Span, is_frame: bool) -> Span:
    """Return what sums may be on the way, bit by bit and row by row."""
    if is_frame:  # which may hold any value of its bits, whatever it should hold
        count = 2 ** bit_planes(source)
        least = -count // 2 if source.low < 0 else 0
        source = Span(least, least + count - 1)
    elif source.low < 0:  # and without its last bit is even; one bit alone is 1
        source = Span(source.low // 2 * 2, max(source.high, 1))
    return reach_of_sums(node.codes, source)


def _fused(nodes: Sequence[Node]) -> dict[int, int]:
    """Find neurons that are all that takes the sums of a convolution."""
    consumers: dict[int, list[int]] = {}
    for place, node in enumerate(nodes):
        for i in node.inputs:
            consumers.setdefault(i, []).append(place)
    found = {}
    for place, node in enumerate(nodes):
        if not isinstance(node, Neuron) or len(consumers[node.inputs[0]]) > 1:
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
