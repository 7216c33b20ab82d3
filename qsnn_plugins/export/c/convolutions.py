"""Convolutions and matrices in C: rows of codes, added where a channel of the input is not 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from qsnn_plugins.export.account import code_bits, integer_bytes
from qsnn_plugins.export.c import neurons
from qsnn_plugins.export.c.helpers import add_row
from qsnn_plugins.export.c.plan import bit_planes, sum_type
from qsnn_plugins.export.c.windows import Window
from qsnn_plugins.export.c.writer import Writer
from qsnn_plugins.export.nodes import Convolution, Linear
from qsnn_plugins.functional.packing.bits import pack_codes, place_in_levels

__all__ = ["convolution"]


def convolution(c: Writer, place: int, node: Convolution | Linear, neuron: int | None) -> str:
    """Return sums pixel by pixel, and a neuron that takes them while they are there."""
    shape, kind = _shape(c, node), sum_type(c.plan.sums[place])
    pixels = shape.pixels
    in_memory = neuron is None and pixels == 1
    sums = c.values(place) if in_memory else f"memory.sums.of{place}"
    each_sum = f"for (uint32_t c = 0; c < {len(node.codes)}u; c++)"
    find, added = _planes(c, place, node, shape, each_sum)
    opened = step = finish = ""
    if neuron is not None:
        finish = neurons.fused(c, neuron, len(node.codes), pixels)
        opened = neurons.fused_open(c, neuron)
        step = neurons.fused_step(c, neuron, pixels)
    elif not in_memory:
        write = c.write(place, "to", "sums[c]")
        finish = f"uint32_t to = pixel;\n{each_sum} {{\n{write}\nto += {pixels}u;\n}}\n"
    count = "uint32_t pixel = 0;\n" if finish else ""
    if pixels > 1:
        step = f"pixel++;\n{step}"
    pixel_open, pixel_close = shape.window.pixels("0", "at_pixel")
    return (
        f"{kind} *sums = {sums};\n{find}{count}{opened}{pixel_open}"
        f"{each_sum} {{\nsums[c] = 0;\n}}\n{added}{finish}{step}{pixel_close}"
    )


@dataclass(frozen=True)
class _Shape:
    """What a convolution runs over.

    Args:
        window: Of its pixels; a matrix has one.
        groups: Of channels.
        c_in: Channels of the input, in each group.
        c_out: Sums, in each group.
        channel: Elements of a channel of the input.
    """

    window: Window
    groups: int
    c_in: int
    c_out: int
    channel: int

    @property
    def pixels(self) -> int:
        return math.prod(self.window.gives)


def _shape(c: Writer, node: Convolution | Linear) -> _Shape:
    if isinstance(node, Linear):
        c_in = math.prod(c.nodes[node.inputs[0]].shape)
        return _Shape(Window((), (), (), (), (), ()), 1, c_in, len(node.codes), 1)
    channels, *sizes = node.takes
    kernel = tuple(node.codes.shape[2:])
    window = Window(tuple(sizes), kernel, node.stride, node.padding, node.dilation,
                     tuple(node.shape[1:]))  # fmt: skip
    groups = node.groups
    return _Shape(window, groups, channels // groups, len(node.codes) // groups, math.prod(sizes))


def _planes(
    c: Writer, place: int, node: Convolution | Linear, shape: _Shape, each_sum: str
) -> tuple[str, str]:
    """Return what is done once, before all pixels, and what adds to the sums of one.

    Inputs of several bits go bit by bit, the highest first, and the sums double in between. The
    highest bit of a negative number counts negative.
    """
    source, kind = node.inputs[0], sum_type(c.plan.sums[place])
    span = c.plan.spans[source]
    most = bit_planes(span)
    value = _unsigned(c.read(source, "(uint32_t)at"))
    if most == 1:
        return "", _groups(c, place, node, shape, f"{value} & 1u")
    added = _groups(c, place, node, shape, f"({value} >> plane) & 1u")
    find, first, negate = "", f"{most}u", ""
    if span.low < 0:
        negate = (
            f"if (plane == {most - 1}u) {{\n"
            f"{each_sum} {{\nsums[c] = ({kind})-sums[c];\n}}\n}}\n"
        )  # fmt: skip
    else:
        find = _find_planes(most, math.prod(c.nodes[source].shape), c.read(source, "i"))
        first = "planes"
    return find, (
        f"for (uint32_t plane = {first}; plane-- > 0u;) {{\n"
        f"{each_sum} {{\nsums[c] = ({kind})(sums[c] + sums[c]);\n}}\n{added}{negate}}}\n"
    )


def _find_planes(most: int, count: int, value: str) -> str:
    """Return what finds how many bits the values have that are there."""
    return (
        f"uint32_t planes = {most}u, any = 0;\n\n"
        f"for (uint32_t i = 0; i < {count}u; i++) {{\nuint32_t value = {_unsigned(value)};\n\n"
        "any |= value;\n}\n"
        "while (planes > 1u && !((any >> (planes - 1u)) & 1u)) {\nplanes--;\n}\n"
    )


def _unsigned(value: str) -> str:
    return value.replace("(int32_t)bit_at", "bit_at").replace("(int32_t)", "(uint32_t)")


def _groups(c: Writer, place: int, node: Convolution | Linear, shape: _Shape, is_set: str) -> str:
    """Return loops over groups, taps and channels, which add rows where `is_set`."""
    kind = sum_type(c.plan.sums[place])
    opened = closed = ""
    start, target = "at_pixel", "sums"
    if shape.groups > 1:
        start, target, closed = "at_group", "of_group", "}\n"
        opened = (
            f"{kind} *of_group = sums;\nint32_t at_group = at_pixel;\n"
            f"for (uint32_t group = 0; group < {shape.groups}u;"
            f" group++, of_group += {shape.c_out}, at_group += {shape.c_in * shape.channel}) {{\n"
        )
    row_bits = shape.c_out * code_bits(node)
    tap_open, tap_close, at = shape.window.taps(start, f"row += {shape.c_in * row_bits}u;")
    return (
        f"uint32_t row = 0;\n{opened}{tap_open}int32_t at = {at};\n"
        f"for (uint32_t i = 0; i < {shape.c_in}u;"
        f" i++, at += {shape.channel}, row += {row_bits}u) {{\n"
        f"if ({is_set}) {{\n{_add(c, place, node, shape, target)}\n}}\n}}\n{tap_close}{closed}"
    )


def _add(c: Writer, place: int, node: Convolution | Linear, shape: _Shape, target: str) -> str:
    """Add the table of codes; return what adds the row at place `row` of it to sums."""
    bits = code_bits(node)
    # [groups, taps, C_in, C_out]: what is added at once lies together
    rows = node.codes.long().reshape(shape.groups, shape.c_out, shape.c_in, -1)
    rows = rows.permute(0, 3, 2, 1).contiguous()
    c.table(f"codes_{place}", pack_codes(place_in_levels(rows, node.levels), bits), "uint8_t")
    level_type, levels = _levels(c, node.levels)
    whole = 8 % bits == 0 and shape.c_out * bits % 8 == 0
    kind, is_short = sum_type(c.plan.sums[place]), node.codes.numel() * bits <= 8
    add, text = add_row(kind, bits, level_type, whole, is_short)
    c.functions.setdefault(add, text)
    return f"{add}({target}, {shape.c_out}u, codes_{place}, row, {levels});"


def _levels(c: Writer, levels: Sequence[int]) -> tuple[str, str]:
    """Return type and name of a table of levels, which layers of the same levels share."""
    values = torch.tensor(levels)
    c_type = f"int{8 * integer_bytes(values) // len(values)}_t"
    for table in c.tables.values():
        same = not table.counted and table.c_type == c_type
        if same and torch.equal(table.values, values):
            return c_type, table.name
    name = f"levels_{sum(not table.counted for table in c.tables.values())}"
    c.table(name, values, c_type, counted=False)
    return c_type, name
