"""What `runtime.h` reads: layers, values and buffers of an integer network."""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from qsnn_plugins.export.lowered import Kind, Layer, Lowered, Method, Type, Value
from qsnn_plugins.export.lowering import code_levels, code_planes
from qsnn_plugins.export.network import NodeGraph
from qsnn_plugins.export.nodes import (
    Convolution,
    Gather,
    Linear,
    MaxPool,
    Neuron,
    Output,
    Rescale,
    SumPool,
    WideNeuron,
)

__all__ = ["Plan", "build_plan"]

_MOST_STEPS = 8
_VALUES = 1 << 20  # bytes of values that several steps may take
_LANES = 128  # bounds are padded to the widest block
_FEW_BOUNDS = 160  # of all states, where each is compared; more are searched


class _Value(ctypes.Structure):
    _fields_ = [(n, ctypes.c_int64) for n in ("offset", "type", "channels", "places")]


class _Op(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_void_p if name.startswith("_") else ctypes.c_int64)
        for name in (
            *("kind", "out", "_inputs", "inputs"),
            *("_places", "taps", "method", "lanes", "code_type", "sum_type", "_weights"),
            *("stride", "unpacked", "_levels"),
            *("group_rows", "flush", "planes", "scale", "least"),
            *("_pairs", "_pair_counts"),
            *("period", "shift", "_multipliers", "_bias"),
            *("fires", "states", "bounds_count", "padded", "searched"),
            *("_bounds", "_charge", "_group", "_spikes", "_next_state", "slot"),
        )
    ]


class _Plan(ctypes.Structure):
    _fields_ = [
        ("ops", ctypes.POINTER(_Op)),
        ("count", ctypes.c_int64),
        ("values", ctypes.POINTER(_Value)),
        ("arena", ctypes.c_int64),
        ("steps", ctypes.c_int64),
    ]


@dataclass(frozen=True, eq=False)
class Plan:
    """A plan, and what keeps its memory.

    Args:
        header: What the runtime is called with.
        tensors: What its pointers point at.
    """

    header: _Plan
    tensors: list[Tensor]

    @property
    def bytes(self) -> int:
        """Bytes of weights and tables."""
        return sum(each.numel() * each.element_size() for each in self.tensors)


def build_plan(network: NodeGraph, lowered: Lowered) -> Plan:
    """Lay out weights, tables and values for the ways that are chosen."""
    tensors: list[Tensor] = []
    slots = itertools.count()
    ops = [
        _fill(network, lowered.values, layer, next(slots) if layer.neuron >= 0 else -1, tensors)
        for layer in lowered.layers
    ]
    offsets, arena = _offsets(lowered)
    values = [
        _Value(offset, v.type, v.channels, v.places)
        for v, offset in zip(lowered.values, offsets, strict=True)
    ]
    # several steps keep a layer's weights in the cache, as long as values do not crowd them out
    weights = sum(each.numel() * each.element_size() for each in tensors)
    steps = max(1, min(_MOST_STEPS, max(_VALUES, weights // 8) // max(arena, 1)))
    header = _Plan((_Op * len(ops))(*ops), len(ops), (_Value * len(values))(*values), arena, steps)
    return Plan(header, tensors)


def _offsets(lowered: Lowered) -> tuple[list[int], int]:
    """Return where each value lies, first fit, and the bytes of all."""
    last = {at: i for i, layer in enumerate(lowered.layers) for at in (*layer.inputs, layer.out)}
    offsets, arena = [-1] * len(lowered.values), 0
    alive: list[tuple[int, int, int]] = []  # begin, end, last use
    for i, layer in enumerate(lowered.layers):
        if layer.kind is Kind.OUTPUT:
            continue
        value = lowered.values[layer.out]
        size = value.channels * value.places * torch.iinfo(value.type.dtype).bits // 8
        size = -(-size // 64) * 64
        alive = sorted(each for each in alive if each[2] >= i)
        begin = 0
        for other_begin, other_end, _ in alive:
            if other_begin - begin >= size:
                break
            begin = max(begin, other_end)
        alive.append((begin, begin + size, last[layer.out]))
        offsets[layer.out] = begin
        arena = max(arena, begin + size)
    return offsets, arena


def _fill(
    network: NodeGraph, values: tuple[Value, ...], layer: Layer, slot: int, kept: list[Tensor]
) -> _Op:
    def keep(tensor: Tensor) -> int:
        kept.append(tensor.contiguous())
        return kept[-1].data_ptr()

    op = _Op(kind=layer.kind, out=layer.out, inputs=len(layer.inputs), slot=slot)
    op._inputs = keep(torch.tensor(layer.inputs, dtype=torch.int64))
    op.sum_type = layer.sums
    source, out = values[layer.inputs[0]], values[layer.out]
    node = network.nodes[layer.node] if layer.node >= 0 else None
    if isinstance(node, Convolution | Linear):
        places = _places_of(node, source)
        op._places, op.taps = keep(places.int()), places.shape[1]
        _fill_weights(op, node, layer, source, keep)
    elif isinstance(node, SumPool | MaxPool):
        spatial = len(node.kernel)
        sizes = node.takes[1:]
        places = window_places(sizes, node.kernel, node.stride, node.padding, (1,) * spatial)
        if layer.channels != node.takes[0]:  # the first dimension is the channels
            rest = node.takes[2:], node.kernel[1:], node.stride[1:], node.padding[1:]
            places = window_places(*rest, (1,) * (spatial - 1))
        op._places, op.taps = keep(places.int()), places.shape[1]
    elif layer.kind is Kind.GATHER:
        index = torch.arange(out.channels * out.places)
        if isinstance(node, Gather):
            index = node.index.flatten().long()
        pairs = _pairs(index, [values[at] for at in layer.inputs], out)
        op._pairs = keep(torch.cat([each.flatten() for each in pairs]).int())
        op._pair_counts = keep(torch.tensor([len(each) for each in pairs]))
    elif isinstance(node, Rescale):
        table, op.period = _per_period(torch.cat([node.multipliers, node.bias[None]]).long(), out)
        op._multipliers, op._bias, op.shift = keep(table[:-1]), keep(table[-1]), node.shift
    elif isinstance(node, Output):
        count = math.prod(node.shape)
        op._multipliers = keep(node.multipliers.long().expand(-1, count))
        op._bias = keep(node.bias.long().expand(count))
    if layer.neuron >= 0:
        neuron = network.nodes[layer.neuron]
        assert isinstance(neuron, Neuron)
        _fill_neuron(op, neuron, layer, out, keep)
    return op


def _flat_to_stored(value: Value) -> Tensor:
    """Return where each element of the flat order, channels outside, is stored."""
    order = torch.arange(value.channels * value.places)
    return order.reshape(value.places, value.channels).T.flatten()


def _pairs(index: Tensor, inputs: list[Value], out: Value) -> list[Tensor]:
    """Return for each input where its elements go, [n, 2] of to and from."""
    to, begin, pairs = _flat_to_stored(out), 0, []
    for each in inputs:
        stored = _flat_to_stored(each)
        mine = ((index >= begin) & (index < begin + len(stored))).nonzero().flatten()
        pairs.append(torch.stack([to[mine], stored[index[mine] - begin]], 1))
        begin += len(stored)
    return pairs


def window_places(
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Tensor:
    """Return the places of windows over a map, [outputs, taps], -1 outside.

    Example:
        >>> window_places((3,), (2,), (2,), (1,), (1,)).tolist()
        [[-1, 0], [1, 2]]
    """
    places = torch.zeros(1, 1, dtype=torch.int64)
    for size, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True):
        count = (size + 2 * p - d * (k - 1) - 1) // s + 1
        along = torch.arange(count)[:, None] * s - p + torch.arange(k) * d
        inside = (along >= 0) & (along < size)
        both = places[:, None, :, None] * size + along[None, :, None, :]
        valid = (places >= 0)[:, None, :, None] & inside[None, :, None, :]
        both = torch.where(valid, both, torch.full_like(both, -1))
        places = both.reshape(places.shape[0] * count, places.shape[1] * k)
    return places


def _places_of(node: Convolution | Linear, source: Value) -> Tensor:
    if isinstance(node, Linear):  # a place is a tap
        return torch.arange(source.places)[None]
    return window_places(
        node.takes[1:], tuple(node.codes.shape[2:]), node.stride, node.padding, node.dilation
    )


def _fill_weights(
    op: _Op,
    node: Convolution | Linear,
    layer: Layer,
    source: Value,
    keep: Callable[[Tensor], int],
) -> None:
    codes = node.codes
    if isinstance(node, Linear):
        codes = codes.reshape(len(codes), source.channels, source.places)
    codes = codes.flatten(2)  # [C_out, C_in / groups, taps]
    if layer.kind is Kind.DEPTHWISE:
        op._weights = keep(codes[:, 0].T.to(torch.int16))
        return
    if isinstance(node, Convolution) and node.groups > 1:
        codes = _without_groups(codes, node.groups)
    way = layer.ways[layer.way]
    op.method, op.lanes = way.method, way.lanes
    op.code_type = Type.I16 if codes.dtype is torch.int16 else Type.U8
    if way.method is Method.DENSE:
        rows = _blocks(codes, way.lanes, 4)  # [blocks, taps, C_in, lanes]
        blocks, taps, channels, lanes = rows.shape
        fours = rows.reshape(blocks, taps, channels // 4, 4, lanes).transpose(3, 4)
        _keep_codes(op, fours, keep)
    elif way.method is Method.PLANES:
        op.planes, op.scale, op.least = code_planes(codes)
        packed = [_bits(block, op) for block in codes.split(way.lanes)]
        op._weights, op.stride = keep(torch.stack(packed)), packed[0].numel() * 4
    else:
        greatest = max(-int(codes.min()), int(codes.max()))
        op.group_rows = max(1, min(127 // max(greatest, 1), 64))
        if op.group_rows < 8:  # the runtime has loops of 1 to 4 unrolled
            op.group_rows = min(op.group_rows, 4)
        op.flush = (2**15 - 1) // max(greatest, 1)
        _keep_codes(op, _blocks(codes, way.lanes, 1), keep)


def _keep_codes(op: _Op, blocks: Tensor, keep: Callable[[Tensor], int]) -> None:
    """Store codes block by block, two in a byte where there are no more than 16."""
    blocks = blocks.flatten(1)
    levels = torch.tensor(code_levels(blocks), dtype=blocks.dtype)
    if len(levels) > 16 or blocks.dtype is not torch.int8:
        op._weights, op.stride = keep(blocks), blocks[0].numel() * blocks.element_size()
        return
    op.unpacked = -(-blocks.shape[1] // 128) * 128
    op.stride = op.unpacked // 2
    packed = torch.empty(len(blocks), op.stride, dtype=torch.uint8)
    for block, into in zip(blocks, packed, strict=True):
        places = torch.zeros(op.unpacked, dtype=torch.uint8)
        places[: len(block)] = torch.bucketize(block, levels, out_int32=True).to(torch.uint8)
        low, high = places.reshape(-1, 2, 64).unbind(1)
        into.copy_((low | high << 4).flatten())
    op._weights = keep(packed)
    op._levels = keep(torch.nn.functional.pad(levels, (0, 16 - len(levels))))


def _bits(codes: Tensor, op: _Op) -> Tensor:
    """Return the planes of one block, int32 [taps, words, planes, lanes]."""
    numbers = _blocks((codes.short() - op.least) // op.scale, op.lanes, 32)[0]
    taps, channels, lanes = numbers.shape
    words = numbers.reshape(taps, channels // 32, 1, 32, lanes)
    planes = words >> torch.arange(op.planes).reshape(-1, 1, 1) & 1
    packed = (planes << torch.arange(32).reshape(-1, 1)).sum(-2)
    return torch.where(packed < 2**31, packed, packed - 2**32).int()


def _without_groups(codes: Tensor, groups: int) -> Tensor:
    own = codes.shape[1]
    whole = codes.new_zeros(codes.shape[0], own * groups, codes.shape[2])
    for group, rows in enumerate(codes.chunk(groups)):
        begin = group * len(rows)
        whole[begin : begin + len(rows), group * own : (group + 1) * own] = rows
    return whole


def _blocks(codes: Tensor, lanes: int, multiple: int) -> Tensor:
    """Return codes [C_out, C_in, taps] as [blocks, taps, C_in, lanes], padded with zeros."""
    rows, channels, taps = codes.shape
    blocks, padded = -(-rows // lanes), -(-channels // multiple) * multiple
    whole = codes.new_zeros(blocks * lanes, padded, taps)
    whole[:rows, :channels] = codes
    return whole.reshape(blocks, lanes, padded, taps).permute(0, 3, 2, 1).contiguous()


def _per_period(table: Tensor, value: Value) -> tuple[Tensor, int]:
    """Return what is [..., G], one per group of the flat order, per channel or per element."""
    groups = table.shape[-1]
    if value.channels % groups == 0:
        return table.repeat_interleave(value.channels // groups, -1), value.channels
    count = value.channels * value.places
    flat = table[..., torch.arange(count) * groups // count]
    stored = torch.empty_like(flat)
    stored[..., _flat_to_stored(value)] = flat
    return stored, count


def _fill_neuron(
    op: _Op,
    node: Neuron,
    layer: Layer,
    out: Value,
    keep: Callable[[Tensor], int],
) -> None:
    op.fires, op.states, op.bounds_count = 1, layer.states, node.bounds.shape[-1]
    op._spikes, op._next_state = keep(node.spikes.clone()), keep(node.next_state.clone())
    groups, op.period = _per_period(torch.arange(len(node.bounds)), out)
    if isinstance(node, WideNeuron) or layer.states * op.bounds_count > _FEW_BOUNDS:
        op.searched, op._bounds, op._group = 1, keep(node.bounds.int()), keep(groups.int())
        op._charge = keep(node.charge.int()) if isinstance(node, WideNeuron) else None
        return
    dtype = torch.int16 if layer.sums is Type.I16 else torch.int32
    bounds = node.bounds.long()
    if layer.sums is Type.I16:  # bounds that no sum reaches stay so
        bounds = bounds.clamp(-(2**15), 2**15 - 1)
    op.padded = -(-op.period // _LANES) * _LANES + _LANES
    table = torch.zeros(layer.states, op.bounds_count, op.padded, dtype=dtype)
    table[..., : op.period] = bounds[groups].permute(1, 2, 0).to(dtype)
    op._bounds = keep(table)
