"""Layers as C: loops over constants, indices that step, and no product of data."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch

from qsnn_plugins.export.account import code_bits, integer_bytes, only_shifts
from qsnn_plugins.export.c import neurons
from qsnn_plugins.export.c.helpers import add_row
from qsnn_plugins.export.c.plan import Slot, bit_planes, sum_type
from qsnn_plugins.export.c.windows import Window
from qsnn_plugins.export.c.writer import Writer
from qsnn_plugins.export.nodes import (
    Convolution,
    Gather,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Output,
    Rescale,
    Sum,
    SumPool,
)
from qsnn_plugins.functional.packing.bits import pack_codes, place_in_levels

__all__ = ["Layers"]


class Layers(Writer):
    """C of the layers of a network, collected node by node."""

    def add(self, place: int) -> None:
        """Add what runs a node."""
        node = self.nodes[place]
        if isinstance(node, Input) or place in self.plan.fused.values():
            return
        if place in self.plan.fused:
            convolution = self.plan.fused[place]
            body = self._convolution(convolution, self.nodes[convolution], place)  # type: ignore[arg-type]
        elif isinstance(node, Convolution | Linear):
            body = self._convolution(place, node, None)
        elif isinstance(node, Neuron):
            body = neurons.neuron(self, place, node)
        elif isinstance(node, SumPool | MaxPool):
            body = self._pool(place, node)
        elif isinstance(node, Sum):
            body = self._sum(place, node)
        elif isinstance(node, Gather):
            body = self._gather(place, node)
        else:
            assert isinstance(node, Rescale | Output)
            body = self._factors(place, node)
        name = f"layer_{place}"
        # frames are read by few layers, but all are called alike
        reads = "frame" in body
        parameter = "const qsnn_input_t *frame" if reads else "void"
        word = re.sub(r"[^A-Za-z0-9._-]", "_", node.name)
        kind = type(node).__name__
        self.functions[name] = (
            f"/* {word}: {kind} */\nstatic void {name}({parameter})\n{{\n{body}}}\n"
        )
        self.steps.append(f"{name}({'frame' if reads else ''});")

    def _convolution(self, place: int, node: Convolution | Linear, neuron: int | None) -> str:
        """Return sums pixel by pixel: rows of codes, added where a channel of the input is not 0.

        Inputs of several bits go bit by bit, the highest first, and the sums double in between. The
        highest bit of a negative number counts negative.
        """
        source = node.inputs[0]
        kind = sum_type(self.plan.sums[place])
        codes, levels = node.codes, node.levels
        if isinstance(node, Linear):
            channels, sizes, groups = math.prod(self.nodes[source].shape), (), 1
            window = Window((), (), (), (), (), ())
        else:
            channels, *sizes = node.takes  # type: ignore[assignment]
            groups = node.groups
            kernel = tuple(codes.shape[2:])
            window = Window(tuple(sizes), kernel, node.stride, node.padding, node.dilation,
                             tuple(node.shape[1:]))  # fmt: skip
        pixels, inner = math.prod(window.gives), math.prod(sizes)
        c_in, c_out = channels // groups, len(codes) // groups
        bits = code_bits(node)
        # [groups, taps, C_in, C_out]: what is added at once lies together
        rows = codes.long().reshape(groups, c_out, c_in, -1).permute(0, 3, 2, 1).contiguous()
        self.table(f"codes_{place}", pack_codes(place_in_levels(rows, levels), bits), "uint8_t")
        level_type, levels_name = self._levels(levels)
        row_bits = c_out * bits
        whole = 8 % bits == 0 and row_bits % 8 == 0
        add, text = add_row(kind, bits, level_type, whole, codes.numel() * bits <= 8)
        self.functions.setdefault(add, text)

        span = self.plan.spans[source]
        most = bit_planes(span)
        in_memory = neuron is None and pixels == 1
        sums = self.values(place) if in_memory else f"memory.sums.of{place}"
        all_sums = f"for (uint32_t c = 0; c < {len(codes)}u; c++)"
        reads = _unsigned(self.read(source, "(uint32_t)at"))
        test = f"{reads} & 1u" if most == 1 else f"({reads} >> plane) & 1u"
        group_open = group_close = ""
        start, target = "at_pixel", "sums"
        if groups > 1:
            group_open = (
                f"{kind} *of_group = sums;\nint32_t at_group = at_pixel;\n"
                f"for (uint32_t group = 0; group < {groups}u;"
                f" group++, of_group += {c_out}, at_group += {c_in * inner}) {{\n"
            )
            group_close, start, target = "}\n", "at_group", "of_group"
        tap_open, tap_close, at = window.taps(start, f"row += {c_in * row_bits}u;")
        plane_open = plane_close = find = ""
        if most > 1:
            first = f"{most}u"
            if span.low >= 0:
                first, find = (
                    "planes",
                    _planes(most, math.prod(self.nodes[source].shape), self.read(source, "i")),
                )
            plane_open = (
                f"for (uint32_t plane = {first}; plane-- > 0u;) {{\n"
                f"{all_sums} {{\nsums[c] = ({kind})(sums[c] + sums[c]);\n}}\n"
            )
            negate = ""
            if span.low < 0:
                negate = (
                    f"if (plane == {most - 1}u) {{\n"
                    f"{all_sums} {{\nsums[c] = ({kind})-sums[c];\n}}\n}}\n"
                )
            plane_close = f"{negate}}}\n"
        if neuron is not None:
            finish = neurons.fused(self, neuron, len(codes), pixels)
        elif in_memory:
            finish = ""
        else:
            finish = (
                f"uint32_t to = pixel;\n{all_sums} {{\n"
                f"{self.write(place, 'to', 'sums[c]')}\nto += {pixels}u;\n}}\n"
            )
        pixel_open, pixel_close = window.pixels("0", "at_pixel")
        count = "uint32_t pixel = 0;\n" if pixels > 1 or finish else ""
        step = "pixel++;\n" if count and pixels > 1 else ""
        opened = neurons.fused_open(self, neuron) if neuron is not None else ""
        stepped = (
            neurons.fused_step(self, neuron, pixels) if neuron is not None and pixels > 1 else ""
        )
        return (
            f"{kind} *sums = {sums};\n{find}{count}{opened}{pixel_open}"
            f"{all_sums} {{\nsums[c] = 0;\n}}\n"
            f"{plane_open}uint32_t row = 0;\n{group_open}{tap_open}"
            f"int32_t at = {at};\n"
            f"for (uint32_t i = 0; i < {c_in}u; i++, at += {inner}, row += {row_bits}u) {{\n"
            f"if ({test}) {{\n"
            f"{add}({target}, {c_out}u, codes_{place}, row, {levels_name});\n}}\n}}\n"
            f"{tap_close}{group_close}{plane_close}{finish}{step}{stepped}{pixel_close}"
        )

    def _levels(self, levels: Sequence[int]) -> tuple[str, str]:
        values = torch.tensor(levels)
        c_type = f"int{8 * integer_bytes(values) // len(values)}_t"
        for table in self.tables.values():
            same = not table.counted and table.c_type == c_type
            if same and torch.equal(table.values, values):
                return c_type, table.name
        name = f"levels_{sum(not table.counted for table in self.tables.values())}"
        self.table(name, values, c_type, counted=False)
        return c_type, name

    def _pool(self, place: int, node: SumPool | MaxPool) -> str:
        channels, *sizes = node.takes
        ones = (1,) * len(sizes)
        window = Window(tuple(sizes), node.kernel, node.stride, node.padding, ones,
                         tuple(node.shape[1:]))  # fmt: skip
        pixel_open, pixel_close = window.pixels("at_channel", "at_pixel")
        tap_open, tap_close, at = window.taps("at_pixel", "")
        value = self.read(node.inputs[0], f"(uint32_t){at}")
        if isinstance(node, SumPool):
            start, step = "0", f"value += {value};\n"
        else:
            low = self.plan.spans[node.inputs[0]].low
            start = str(low)
            step = f"int32_t other = {value};\n\nif (other > value) {{\nvalue = other;\n}}\n"
        return (
            "uint32_t to = 0;\nint32_t at_channel = 0;\n"
            f"for (uint32_t c = 0; c < {channels}u; c++, at_channel += {math.prod(sizes)}) {{\n"
            f"{pixel_open}int32_t value = {start};\n{tap_open}{step}{tap_close}"
            f"{self.write(place, 'to', 'value')}\nto++;\n{pixel_close}}}\n"
        )

    def _sum(self, place: int, node: Sum) -> str:
        total = " + ".join(self.read(i, "i") for i in node.inputs)
        return (
            f"for (uint32_t i = 0; i < {math.prod(node.shape)}u; i++) {{\n"
            f"{self.write(place, 'i', total)}\n}}\n"
        )

    def _gather(self, place: int, node: Gather) -> str:
        self.table(f"order_{place}", node.index)
        lines, behind = [], 0
        for number, i in enumerate(node.inputs):
            count = math.prod(self.nodes[i].shape)
            at = f"at - {behind}u" if behind else "at"
            write = self.write(place, "i", self.read(i, at))
            last = number == len(node.inputs) - 1
            if len(node.inputs) == 1:
                lines.append(write)
            elif last:
                lines.append(f"else {{\n{write}\n}}")
            else:
                behind += count
                lines.append(f"{'else ' * (number > 0)}if (at < {behind}u) {{\n{write}\n}}")
        body = "\n".join(lines).replace("}\nelse", "} else")
        return (
            f"for (uint32_t i = 0; i < {node.index.numel()}u; i++) {{\n"
            f"uint32_t at = (uint32_t)order_{place}[i];\n\n{body}\n}}\n"
        )

    def _factors(self, place: int, node: Rescale | Output) -> str:
        rows = node.multipliers.reshape(len(node.inputs), -1).long()
        groups, count = rows.shape[1], math.prod(node.shape)
        narrow = self.table(f"factors_{place}", rows)
        kind = self.table(f"bias_{place}", node.bias)
        shifts = only_shifts(rows)
        opened = f"const {kind} *bias = bias_{place};\n"
        steps, terms = "bias++;\n", ""
        for number, i in enumerate(node.inputs):
            at = f" + {number * groups}" if number else ""
            opened += f"const {narrow} *factor_{number} = factors_{place}{at};\n"
            steps += f"factor_{number}++;\n"
            value = self.read(i, "to")
            if shifts:
                terms += f"total += shifted({value}, *factor_{number});\n"
            else:
                terms += f"total += (int64_t)*factor_{number} * {value};\n"
        shift = node.shift if isinstance(node, Rescale) else 0
        if shift:
            terms += f"total = (total + INT64_C({1 << shift >> 1})) >> {shift};\n"
        if isinstance(node, Output):
            write = "memory.answers[to] += total + *bias;"
        else:
            write = self.write(place, "to", "total + *bias")
        return (
            f"{opened}uint32_t to = 0;\n"
            f"for (uint32_t group = 0; group < {groups}u; group++) {{\n"
            f"for (uint32_t i = 0; i < {count // groups}u; i++) {{\n"
            f"int64_t total = 0;\n\n{terms}{write}\nto++;\n}}\n{steps}}}\n"
        )

    def memory(self) -> list[tuple[int, int, str]]:
        """Return all that is written: alignment, bytes and declaration of each member."""
        found = []
        for place, node in enumerate(self.nodes):
            if isinstance(node, Neuron):
                size = -(-math.prod(node.shape) * node.bits // 8)
                found.append((1, size, f"uint8_t state_{place}[{size}];"))
            elif isinstance(node, Output):
                count = math.prod(node.shape)
                found.append((8, 8 * count, f"int64_t answers[{count}];"))
        slots = [(f"values_{i}", slot) for i, slot in enumerate(self.plan.slots)]
        slots += [("sums", self.plan.scratch)] if self.plan.scratch.members else []
        found += [(slot.alignment, slot.size, _union(name, slot)) for name, slot in slots]
        return sorted(found, key=lambda each: -each[0])


def _union(name: str, slot: Slot) -> str:
    members = "\n".join(f"{c_type} {member}[{count}];" for member, c_type, count in slot.members)
    return f"union {{\n{members}\n}} {name};"


def _unsigned(value: str) -> str:
    return value.replace("(int32_t)bit_at", "bit_at").replace("(int32_t)", "(uint32_t)")


def _planes(most: int, count: int, value: str) -> str:
    """Return what finds how many bits the values have that are there."""
    return (
        f"uint32_t planes = {most}u, any = 0;\n\n"
        f"for (uint32_t i = 0; i < {count}u; i++) {{\nuint32_t value = {_unsigned(value)};\n\n"
        "any |= value;\n}\n"
        "while (planes > 1u && !((any >> (planes - 1u)) & 1u)) {\nplanes--;\n}\n"
    )
