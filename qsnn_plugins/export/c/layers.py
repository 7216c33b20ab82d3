"""Layers as C: loops over constants, indices that step, and no product of data."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from qsnn_plugins.export.account import code_bits, integer_bytes, only_shifts
from qsnn_plugins.export.c.helpers import add_row
from qsnn_plugins.export.c.plan import Plan, Slot, bit_planes, sum_type, width
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
from qsnn_plugins.functional.packing.bits import pack_codes, place_in_levels

__all__ = ["Layers", "Table"]

_AXES = ("z", "y", "x")
# fewer bounds are compared one by one
_FEW = 4


@dataclass(frozen=True)
class Table:
    """A constant.

    Args:
        name: Its name.
        c_type: Type of an element.
        values: The elements, flat.
        counted: Whether the account counts it.
    """

    name: str
    c_type: str
    values: Tensor
    counted: bool = True

    @property
    def size(self) -> int:
        """Bytes."""
        return width(self.c_type) * self.values.numel()


@dataclass
class Layers:
    """C of the layers of a network, collected node by node.

    Args:
        nodes: The network's.
        plan: Its ranges and places in memory.
        tables: Constants that the layers read.
        functions: Loops and decisions, in the order in which they call each other.
        steps: Functions of one step, in their order.
    """

    nodes: Sequence[Node]
    plan: Plan
    tables: dict[str, Table] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)

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
            body = self._neuron(place, node)
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

    def _table(self, name: str, values: Tensor, c_type: str = "", counted: bool = True) -> str:
        flat = values.flatten().long()
        # C has no empty arrays
        flat = flat if flat.numel() else flat.new_zeros(1)
        kind = c_type or f"int{8 * integer_bytes(flat) // flat.numel()}_t"
        self.tables[name] = Table(name, kind, flat, counted)
        return kind

    def _values(self, place: int) -> str:
        if isinstance(self.nodes[place], Input):
            return "frame"
        return f"memory.values_{self.plan.slot_of[place]}.of{place}"

    def _read(self, place: int, at: str) -> str:
        """Return the value of a node at a place, an int32_t."""
        values = self._values(place)
        if values != "frame" and self.plan.c_type(place) == "bits":
            return f"(int32_t)bit_at({values}, {at})"
        return f"(int32_t){values}[{at}]"

    def _write(self, place: int, at: str, value: str) -> str:
        c_type = self.plan.c_type(place)
        if c_type == "bits":
            return f"put_bit({self._values(place)}, {at}, (uint32_t)({value}));"
        return f"{self._values(place)}[{at}] = ({c_type})({value});"

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
            window = _Window((), (), (), (), (), ())
        else:
            channels, *sizes = node.takes  # type: ignore[assignment]
            groups = node.groups
            kernel = tuple(codes.shape[2:])
            window = _Window(tuple(sizes), kernel, node.stride, node.padding, node.dilation,
                             tuple(node.shape[1:]))  # fmt: skip
        pixels, inner = math.prod(window.gives), math.prod(sizes)
        c_in, c_out = channels // groups, len(codes) // groups
        bits = code_bits(node)
        # [groups, taps, C_in, C_out]: what is added at once lies together
        rows = codes.long().reshape(groups, c_out, c_in, -1).permute(0, 3, 2, 1).contiguous()
        self._table(f"codes_{place}", pack_codes(place_in_levels(rows, levels), bits), "uint8_t")
        level_type, levels_name = self._levels(levels)
        row_bits = c_out * bits
        whole = 8 % bits == 0 and row_bits % 8 == 0
        add, text = add_row(kind, bits, level_type, whole)
        self.functions.setdefault(add, text)

        span = self.plan.spans[source]
        most = bit_planes(span)
        in_memory = neuron is None and pixels == 1
        sums = self._values(place) if in_memory else f"memory.sums.of{place}"
        all_sums = f"for (uint32_t c = 0; c < {len(codes)}u; c++)"
        reads = _unsigned(self._read(source, "(uint32_t)at"))
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
                    _planes(most, math.prod(self.nodes[source].shape), self._read(source, "i")),
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
            finish = self._fused(neuron, len(codes), pixels)
        elif in_memory:
            finish = ""
        else:
            finish = (
                f"uint32_t to = pixel;\n{all_sums} {{\n"
                f"{self._write(place, 'to', 'sums[c]')}\nto += {pixels}u;\n}}\n"
            )
        pixel_open, pixel_close = window.pixels("0", "at_pixel")
        count = "uint32_t pixel = 0;\n" if pixels > 1 or finish else ""
        step = "pixel++;\n" if count and pixels > 1 else ""
        opened = self._fused_open(neuron) if neuron is not None else ""
        stepped = self._fused_step(neuron, pixels) if neuron is not None and pixels > 1 else ""
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
        self._table(name, values, c_type, counted=False)
        return c_type, name

    def _decision(self, place: int, node: Neuron) -> None:
        """Add what counts the bounds that a sum reaches, and the tables of a neuron."""
        outcomes = len(node.spikes)
        bounds = node.bounds.long()
        if integer_bytes(bounds) > 4 * bounds.numel():
            span = self.plan.spans[node.inputs[0]]
            charge = node.charge if isinstance(node, WideNeuron) else torch.zeros(1)
            low, high = span.low + int(charge.min()), span.high + int(charge.max())
            bounds = bounds.clamp(low, high + 1)
        stride = 1
        if not isinstance(node, WideNeuron):
            # bounds of all states beside each other: the state is an index and no product
            bounds, stride = bounds.transpose(1, 2).contiguous(), bounds.shape[1]
        kind = self._table(f"bounds_{place}", bounds)
        self._table(f"spikes_{place}", node.spikes)
        self._table(f"next_{place}", node.next_state)
        if isinstance(node, WideNeuron):
            self._table(f"charge_{place}", node.charge)
        left = outcomes - 1
        lines = ["uint32_t outcome = 0;", ""]
        if left <= _FEW:
            lines += [
                f"while (outcome < {left}u && *bounds <= sum) {{",
                f"bounds += {stride};",
                "outcome++;",
                "}",
            ]
        while left > _FEW or (left and outcomes - 1 > _FEW):
            half = (left + 1) // 2
            lines += [
                f"if (bounds[{(half - 1) * stride}] <= sum) {{",
                f"bounds += {half * stride};",
                f"outcome += {half}u;",
                "}",
            ]
            left -= half
        lines.append("return outcome;")
        body = "\n".join(lines)
        name = f"outcome_{place}"
        self.functions[name] = (
            f"static uint32_t {name}(const {kind} *bounds, int32_t sum)\n{{\n{body}\n}}\n"
        )

    def _fire(self, place: int, node: Neuron, total: str, at: str, bit: str) -> str:
        state = f"memory.state_{place}"
        if isinstance(node, WideNeuron):
            call = f"outcome_{place}(bounds, {total} + (int32_t)charge[state])"
        else:
            call = f"outcome_{place}(bounds + state, {total})"
        return (
            f"uint32_t state = bits_at({state}, {bit}, {node.bits}u);\n"
            f"uint32_t outcome = {call};\n\n"
            f"put_bits({state}, {bit}, {node.bits}u, (uint32_t)next_{place}[outcome]);\n"
            f"{self._write(place, at, f'spikes_{place}[outcome]')}\n"
        )

    def _rows(self, place: int, node: Neuron) -> list[tuple[str, str, int]]:
        """Pointers into tables that step from group to group: name, declaration, elements."""
        kind = self.tables[f"bounds_{place}"].c_type
        rows = [("bounds", f"const {kind} *", math.prod(node.bounds.shape[1:]))]
        if isinstance(node, WideNeuron):
            kind = self.tables[f"charge_{place}"].c_type
            rows.append(("charge", f"const {kind} *", node.charge.shape[1]))
        return rows

    def _fused_open(self, place: int) -> str:
        node = self.nodes[place]
        assert isinstance(node, Neuron)
        rows = self._rows(place, node)
        return "".join(f"{kind}first_{name} = {name}_{place};\n" for name, kind, _ in rows)

    def _fused_step(self, place: int, pixels: int) -> str:
        """Step tables that differ from pixel to pixel."""
        node = self.nodes[place]
        assert isinstance(node, Neuron)
        if len(node.bounds) < math.prod(node.shape) or pixels == 1:
            return ""
        return "".join(f"first_{name} += {step};\n" for name, _, step in self._rows(place, node))

    def _fused(self, place: int, channels: int, pixels: int) -> str:
        """Return the neurons of a pixel, which take the sums while they are there."""
        node = self.nodes[place]
        assert isinstance(node, Neuron)
        self._decision(place, node)
        groups = len(node.bounds)
        skip = 0 if groups == 1 else groups // channels
        rows = self._rows(place, node)
        opened = "".join(f"{kind}{name} = first_{name};\n" for name, kind, _ in rows)
        steps = "".join(f"{name} += {step * skip};\n" for name, _, step in rows if skip)
        bit = "to" if node.bits == 1 else "bit"
        if node.bits > 1:
            opened += "uint32_t bit = bit_of_pixel;\n"
            steps += f"bit += {pixels * node.bits}u;\n"
        fire = self._fire(place, node, "(int32_t)sums[c]", "to", bit)
        text = (
            f"uint32_t to = pixel;\n{opened}"
            f"for (uint32_t c = 0; c < {channels}u; c++) {{\n{fire}{steps}to += {pixels}u;\n}}\n"
        )
        return text.replace("bit_of_pixel", _scaled("pixel", node.bits))

    def _neuron(self, place: int, node: Neuron) -> str:
        self._decision(place, node)
        groups, count = len(node.bounds), math.prod(node.shape)
        rows = self._rows(place, node)
        opened = "".join(f"{kind}{name} = {name}_{place};\n" for name, kind, _ in rows)
        steps = "".join(f"{name} += {step};\n" for name, _, step in rows)
        fire = self._fire(place, node, self._read(node.inputs[0], "to"), "to", "bit")
        return (
            f"{opened}uint32_t to = 0, bit = 0;\n"
            f"for (uint32_t group = 0; group < {groups}u; group++) {{\n"
            f"for (uint32_t i = 0; i < {count // groups}u; i++) {{\n"
            f"{fire}to++;\nbit += {node.bits}u;\n}}\n{steps}}}\n"
        )

    def _pool(self, place: int, node: SumPool | MaxPool) -> str:
        channels, *sizes = node.takes
        ones = (1,) * len(sizes)
        window = _Window(tuple(sizes), node.kernel, node.stride, node.padding, ones,
                         tuple(node.shape[1:]))  # fmt: skip
        pixel_open, pixel_close = window.pixels("at_channel", "at_pixel")
        tap_open, tap_close, at = window.taps("at_pixel", "")
        value = self._read(node.inputs[0], f"(uint32_t){at}")
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
            f"{self._write(place, 'to', 'value')}\nto++;\n{pixel_close}}}\n"
        )

    def _sum(self, place: int, node: Sum) -> str:
        total = " + ".join(self._read(i, "i") for i in node.inputs)
        return (
            f"for (uint32_t i = 0; i < {math.prod(node.shape)}u; i++) {{\n"
            f"{self._write(place, 'i', total)}\n}}\n"
        )

    def _gather(self, place: int, node: Gather) -> str:
        self._table(f"order_{place}", node.index)
        lines, behind = [], 0
        for number, i in enumerate(node.inputs):
            count = math.prod(self.nodes[i].shape)
            at = f"at - {behind}u" if behind else "at"
            write = self._write(place, "i", self._read(i, at))
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
        narrow = self._table(f"factors_{place}", rows)
        kind = self._table(f"bias_{place}", node.bias)
        shifts = only_shifts(rows)
        opened = f"const {kind} *bias = bias_{place};\n"
        steps, terms = "bias++;\n", ""
        for number, i in enumerate(node.inputs):
            at = f" + {number * groups}" if number else ""
            opened += f"const {narrow} *factor_{number} = factors_{place}{at};\n"
            steps += f"factor_{number}++;\n"
            value = self._read(i, "to")
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
            write = self._write(place, "to", "total + *bias")
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


def _scaled(name: str, factor: int) -> str:
    """Return a multiple as sums of shifts.

    Example:
        >>> _scaled("pixel", 3)
        '(pixel << 1) + pixel'
    """
    terms = [i for i in range(factor.bit_length() - 1, -1, -1) if factor >> i & 1]
    return " + ".join(f"({name} << {i})" if i else name for i in terms)


@dataclass(frozen=True)
class _Window:
    """Loops of windows over an image of up to three dimensions."""

    takes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    gives: tuple[int, ...]

    @property
    def _axes(self) -> list[tuple[str, int]]:
        names = _AXES[len(_AXES) - len(self.takes) :]
        return [(name, math.prod(self.takes[i + 1 :])) for i, name in enumerate(names)]

    def pixels(self, start: str, at: str) -> tuple[str, str]:
        """Return loops over what it gives; `at` is where the window's first element would be."""
        opened = ""
        for (axis, step), pad, stride, count in zip(
            self._axes, self.padding, self.stride, self.gives, strict=True
        ):
            first = f"{start} - {pad * step}" if pad else start
            opened += (
                f"for (int32_t {axis} = {-pad}, at_{axis} = {first};"
                f" {axis} < {-pad + stride * count};"
                f" {axis} += {stride}, at_{axis} += {stride * step}) {{\n"
            )
            start = f"at_{axis}"
        if not self.takes:
            return f"{{\nint32_t {at} = {start};\n", "}\n"
        return f"{opened}int32_t {at} = {start};\n", "}\n" * len(self.takes)

    def taps(self, start: str, skipped: str) -> tuple[str, str, str]:
        """Return loops over a window that skip what is outside, and the name of the place."""
        opened, outside = "", []
        for (axis, step), kernel, dilation, pad, size in zip(
            self._axes, self.kernel, self.dilation, self.padding, self.takes, strict=True
        ):
            opened += (
                f"for (int32_t k{axis} = {axis}, at_k{axis} = {start};"
                f" k{axis} < {axis} + {kernel * dilation};"
                f" k{axis} += {dilation}, at_k{axis} += {dilation * step}) {{\n"
            )
            start = f"at_k{axis}"
            if pad:
                outside.append(f"(uint32_t)k{axis} >= {size}u")
        if outside:
            skip = f"{skipped}\n" if skipped else ""
            opened += f"if ({' || '.join(outside)}) {{\n{skip}continue;\n}}\n"
        return opened, "}\n" * len(self.takes), start
