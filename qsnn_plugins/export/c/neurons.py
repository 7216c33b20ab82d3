"""Neurons in C: bounds that a sum reaches, counted, and what follows from their number."""

from __future__ import annotations

import math

import torch

from qsnn_plugins.export.account import integer_bytes
from qsnn_plugins.export.c.writer import Writer
from qsnn_plugins.export.nodes import Neuron, WideNeuron

__all__ = ["fused", "fused_open", "fused_step", "neuron"]

# fewer bounds are compared one by one
_FEW = 4


def _decision(c: Writer, place: int, node: Neuron) -> None:
    """Add what counts the bounds that a sum reaches, and the tables of a neuron."""
    outcomes = len(node.spikes)
    bounds = node.bounds.long()
    if integer_bytes(bounds) > 4 * bounds.numel():
        span = c.plan.spans[node.inputs[0]]
        charge = node.charge if isinstance(node, WideNeuron) else torch.zeros(1)
        low, high = span.low + int(charge.min()), span.high + int(charge.max())
        bounds = bounds.clamp(low, high + 1)
    stride = 1
    if not isinstance(node, WideNeuron):
        # bounds of all states beside each other: the state is an index and no product
        bounds, stride = bounds.transpose(1, 2).contiguous(), bounds.shape[1]
    kind = c.table(f"bounds_{place}", bounds)
    c.table(f"spikes_{place}", node.spikes)
    c.table(f"next_{place}", node.next_state)
    if isinstance(node, WideNeuron):
        c.table(f"charge_{place}", node.charge)
    left = outcomes - 1
    lines = ["uint32_t outcome = 0;", ""]
    if not left:  # a neuron that does the same whatever it sums
        lines += ["(void)bounds;", "(void)sum;"]
    elif left <= _FEW:
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
    c.functions[name] = (
        f"static uint32_t {name}(const {kind} *bounds, int32_t sum)\n{{\n{body}\n}}\n"
    )


def _fire(c: Writer, place: int, node: Neuron, total: str, at: str, bit: str) -> str:
    state = f"memory.state_{place}"
    if isinstance(node, WideNeuron):
        call = f"outcome_{place}(bounds, {total} + (int32_t)charge[state])"
    else:
        call = f"outcome_{place}(bounds + state, {total})"
    return (
        f"uint32_t state = bits_at({state}, {bit}, {node.bits}u);\n"
        f"uint32_t outcome = {call};\n\n"
        f"put_bits({state}, {bit}, {node.bits}u, (uint32_t)next_{place}[outcome]);\n"
        f"{c.write(place, at, f'spikes_{place}[outcome]')}\n"
    )


def _rows(c: Writer, place: int, node: Neuron) -> list[tuple[str, str, int]]:
    """Pointers into tables that step from group to group: name, declaration, elements."""
    kind = c.tables[f"bounds_{place}"].c_type
    rows = [("bounds", f"const {kind} *", math.prod(node.bounds.shape[1:]))]
    if isinstance(node, WideNeuron):
        kind = c.tables[f"charge_{place}"].c_type
        rows.append(("charge", f"const {kind} *", node.charge.shape[1]))
    return rows


def fused_open(c: Writer, place: int) -> str:
    """Return pointers to the tables of the first pixel."""
    node = c.nodes[place]
    assert isinstance(node, Neuron)
    rows = _rows(c, place, node)
    return "".join(f"{kind}first_{name} = {name}_{place};\n" for name, kind, _ in rows)


def fused_step(c: Writer, place: int, pixels: int) -> str:
    """Step tables that differ from pixel to pixel."""
    node = c.nodes[place]
    assert isinstance(node, Neuron)
    if len(node.bounds) < math.prod(node.shape) or pixels == 1:
        return ""
    return "".join(f"first_{name} += {step};\n" for name, _, step in _rows(c, place, node))


def fused(c: Writer, place: int, channels: int, pixels: int) -> str:
    """Return the neurons of a pixel, which take the sums while they are there."""
    node = c.nodes[place]
    assert isinstance(node, Neuron)
    _decision(c, place, node)
    groups = len(node.bounds)
    skip = 0 if groups == 1 else groups // channels
    rows = _rows(c, place, node)
    opened = "".join(f"{kind}{name} = first_{name};\n" for name, kind, _ in rows)
    steps = "".join(f"{name} += {step * skip};\n" for name, _, step in rows if skip)
    bit = "to" if node.bits == 1 else "bit"
    if node.bits > 1:
        opened += "uint32_t bit = bit_of_pixel;\n"
        steps += f"bit += {pixels * node.bits}u;\n"
    fire = _fire(c, place, node, "(int32_t)sums[c]", "to", bit)
    text = (
        f"uint32_t to = pixel;\n{opened}"
        f"for (uint32_t c = 0; c < {channels}u; c++) {{\n{fire}{steps}to += {pixels}u;\n}}\n"
    )
    return text.replace("bit_of_pixel", _scaled("pixel", node.bits))


def neuron(c: Writer, place: int, node: Neuron) -> str:
    """Return the neurons of sums that lie in memory."""
    _decision(c, place, node)
    groups, count = len(node.bounds), math.prod(node.shape)
    rows = _rows(c, place, node)
    opened = "".join(f"{kind}{name} = {name}_{place};\n" for name, kind, _ in rows)
    steps = "".join(f"{name} += {step};\n" for name, _, step in rows)
    fire = _fire(c, place, node, c.read(node.inputs[0], "to"), "to", "bit")
    return (
        f"{opened}uint32_t to = 0, bit = 0;\n"
        f"for (uint32_t group = 0; group < {groups}u; group++) {{\n"
        f"for (uint32_t i = 0; i < {count // groups}u; i++) {{\n"
        f"{fire}to++;\nbit += {node.bits}u;\n}}\n{steps}}}\n"
    )


def _scaled(name: str, factor: int) -> str:
    """Return a multiple as sums of shifts.

    Example:
        >>> _scaled("pixel", 3)
        '(pixel << 1) + pixel'
    """
    terms = [i for i in range(factor.bit_length() - 1, -1, -1) if factor >> i & 1]
    return " + ".join(f"({name} << {i})" if i else name for i in terms)
