"""Layers as C: loops over constants, indices that step, and no product of data."""

from __future__ import annotations

import math
import re

from qsnn_plugins.export.account import only_shifts
from qsnn_plugins.export.c import convolutions, neurons
from qsnn_plugins.export.c.plan import Slot
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
            summed = self.nodes[convolution]
            assert isinstance(summed, Convolution | Linear)
            body = convolutions.convolution(self, convolution, summed, place)
        elif isinstance(node, Convolution | Linear):
            body = convolutions.convolution(self, place, node, None)
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
