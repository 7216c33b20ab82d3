"""Files of a network in C."""

from __future__ import annotations

import math
import re
from contextlib import ExitStack
from pathlib import Path

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.export.c.helpers import HEADER, HELPERS, MAIN, MAKEFILE
from qsnn_plugins.export.c.layers import Layers
from qsnn_plugins.export.c.plan import plan, value_type
from qsnn_plugins.export.c.writer import Table
from qsnn_plugins.export.network import NodeGraph
from qsnn_plugins.export.nodes import Neuron
from qsnn_plugins.files import atomic_write, check_replaceable, writable

__all__ = ["check_target", "write_c"]

_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OVERWRITTEN = ("network.h", "network.c", "weights.h")


def write_c(network: NodeGraph, folder: str | Path, prefix: str = "qsnn") -> None:
    """Write a network as C99 without memory allocation and floats.

    `network.h`, `network.c` and `weights.h` are overwritten, all or none of them. `main.c`, which
    reads frames from standard input and prints classes, and a `Makefile` are written only if they
    do not exist. With another prefix than before, a `main.c` that nobody changed is overwritten
    too.

    Args:
        network: Result of `to_integer` or `load`.
        folder: Output folder, created if necessary.
        prefix: Prefix of the names in the header.

    Raises:
        ArgumentError: If the folder cannot be written, or the prefix is not allowed in C names, or
            is not the one of a `main.c` that was changed.
        ExportError: If a value of the network does not fit in 32 bits.

    Example:
        >>> from tempfile import mkdtemp
        >>> import torch
        >>> from qsnn_plugins.export.nodes import Input, Linear, Output
        >>> image = Input("input", (), (2,), 0, 1, unit=1.0)
        >>> codes = torch.tensor([[1, -1], [-1, 1]])
        >>> sums = Linear("sums", (0,), (2,), -1, 1, codes, bits=1, levels=(-1, 1))
        >>> ones, zeros = torch.ones(1, 2).long(), torch.zeros(2).long()
        >>> answer = Output("answer", (1,), (2,), -1, 1, ones, zeros, unit=1.0)
        >>> folder = Path(mkdtemp())
        >>> write_c(NodeGraph((image, sums, answer)), folder)
        >>> sorted(each.name for each in folder.iterdir())
        ['Makefile', 'main.c', 'network.c', 'network.h', 'weights.h']
    """
    check_target(folder, prefix)
    files = _files(network)
    with writable("folder", folder) as into:
        into.mkdir(parents=True, exist_ok=True)
        keeps_main = _keeps_main(into, prefix)
        # all are written before the first takes its place: weights of another network would compile
        with ExitStack() as written:
            for name, text in files.items():
                keeps = keeps_main if name == "main.c" else name == "Makefile"
                if keeps and (into / name).exists():
                    continue
                file = written.enter_context(atomic_write(into / name, "w"))
                file.write(_named(text, prefix))
                file.flush()


def check_target(folder: str | Path, prefix: str = "qsnn") -> None:
    """Refuse what `write_c` would refuse whatever the network is; nothing is written.

    Args:
        folder: Output folder, which may not exist yet.
        prefix: Prefix of the names in the header.

    Raises:
        ArgumentError: See `write_c`.

    Example:
        >>> check_target("nowhere", "2d")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: prefix='2d' is not allowed: give letters, digits and \
underscores, a letter first
    """
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ArgumentError("prefix", prefix, "letters, digits and underscores, a letter first")
    with writable("folder", folder) as into:
        for name in _OVERWRITTEN if _keeps_main(into, prefix) else (*_OVERWRITTEN, "main.c"):
            check_replaceable(into / name)


def _named(text: str, prefix: str) -> str:
    text = re.sub(r"\bqsnn_(?!plugins)", f"{prefix}_", text)
    return re.sub(r"\bQSNN_", f"{prefix.upper()}_", text)


def _keeps_main(folder: Path, prefix: str) -> bool:
    """Whether main.c stays: one that was written with another prefix would not build."""
    main, header = (folder / name for name in ("main.c", "network.h"))
    if not (main.exists() and header.exists()):
        return True
    found = re.search(r"^void (\w+)_reset\(void\);", header.read_text("utf-8", "replace"), re.M)
    text = main.read_text("utf-8", "replace")
    if found is None or found[1] == prefix or not re.search(rf"\b{found[1]}_", text):
        return True
    if text != _named(MAIN, found[1]):
        allowed = f"{found[1]!r}, whose names {main} has, or rename them there, or remove it"
        raise ArgumentError("prefix", prefix, allowed)
    return False


def _files(network: NodeGraph) -> dict[str, str]:
    layers = Layers(network.nodes, plan(network))
    for place in range(len(network.nodes)):
        layers.add(place)
    members = layers.memory()
    greatest = max(alignment for alignment, _, _ in members)
    ram = -(-sum(size for _, size, _ in members) // greatest) * greatest
    tables = list(layers.tables.values())
    source = network.input
    c_type = value_type(source.span)
    header = HEADER.format(
        shape=", ".join(map(str, source.shape)),
        unit=f"{source.unit:.9g}",
        size=math.prod(source.shape),
        low=source.low,
        high=source.high,
        outputs=math.prod(network.output.shape),
        ram=ram,
        tables=sum(table.size for table in tables if table.counted),
        levels=sum(table.size for table in tables if not table.counted),
        type="uint8_t" if c_type == "bits" else c_type,
        answer=f"{network.output.unit:.9g}",
    )
    return {
        "network.h": header,
        "network.c": _source(network, layers, [text for _, _, text in members]),
        "weights.h": "#include <stdint.h>\n\n" + "\n".join(map(_table, tables)),
        "main.c": MAIN,
        "Makefile": MAKEFILE,
    }


def _source(network: NodeGraph, layers: Layers, members: list[str]) -> str:
    resets = "".join(
        _reset(place, node) for place, node in enumerate(network.nodes) if isinstance(node, Neuron)
    )
    steps = "\n".join(layers.steps)
    unused = "" if "frame" in steps else "(void)frame;\n"
    outside = f"""\
void qsnn_reset(void)
{{
for (uint32_t i = 0; i < QSNN_OUTPUT_SIZE; i++) {{
memory.answers[i] = 0;
}}
{resets}}}

void qsnn_step(const qsnn_input_t *frame)
{{
{unused}{steps}
}}

const int64_t *qsnn_sums(void)
{{
return memory.answers;
}}

int qsnn_class(void)
{{
int best = 0;

for (int i = 1; i < QSNN_OUTPUT_SIZE; i++) {{
if (memory.answers[i] > memory.answers[best]) {{
best = i;
}}
}}
return best;
}}
"""
    body = _indent("\n".join([*layers.functions.values(), outside]))
    helpers = "\n".join(text for name, text in HELPERS.items() if f"{name}(" in body)
    declared = _indent("static struct {\n" + "\n".join(members) + "\n} memory;\n")
    return f"""\
#include "network.h"

#include "weights.h"

/* right shifts of negative numbers round down, or this does not compile */
typedef char shifts_round_down[(-1 >> 1) == -1 ? 1 : -1];

{declared}
typedef char memory_is_as_large_as_said[sizeof(memory) <= QSNN_RAM_BYTES ? 1 : -1];

{helpers}
{body}"""


def _reset(place: int, node: Neuron) -> str:
    if node.first_state == 0:
        size = -(-math.prod(node.shape) * node.bits // 8)
        return f"for (uint32_t i = 0; i < {size}u; i++) {{\nmemory.state_{place}[i] = 0;\n}}\n"
    bits = node.bits
    end = math.prod(node.shape) * bits
    return (
        f"for (uint32_t bit = 0; bit < {end}u; bit += {bits}u) {{\n"
        f"put_bits(memory.state_{place}, bit, {bits}u, {node.first_state}u);\n}}\n"
    )


def _table(table: Table) -> str:
    values = [_literal(value, table.c_type) for value in table.values.tolist()]
    rows = [", ".join(values[i : i + 16]) for i in range(0, len(values), 16)]
    body = ",\n    ".join(rows)
    return f"static const {table.c_type} {table.name}[{len(values)}] = {{\n    {body}\n}};\n"


def _literal(value: int, c_type: str) -> str:
    return f"INT64_C({value})" if c_type == "int64_t" else str(value)


def _indent(text: str) -> str:
    """Indent lines by the braces and parentheses that are open."""
    lines, depth = [], 0
    for each in text.split("\n"):
        line = each.strip()
        lines.append("    " * (depth - line.startswith("}")) + line if line else "")
        depth += sum(line.count(c) for c in "{(") - sum(line.count(c) for c in "})")
    return "\n".join(lines)
