"""Bytes that the neuron moves on a GPU, and the table of what its benchmark has measured.

    python -m tests.benchmarks.gpu_table gpu.json --into docs/performance.md

writes the table of `gpu.json`, which `tests.benchmarks.quantized_lif_gpu` has made, into the page,
between the two marks there; without `--into` it is printed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch

from qsnn_plugins.files import atomic_write
from qsnn_plugins.ops.quantized_lif import Parameters, cupy

BEGIN, END = "<!-- begin: measured on a GPU -->\n", "<!-- end: measured on a GPU -->\n"
LINE = "{:<38}" + 6 * "{:>10}" + "{:>8}{:>9}"
HEADS = (
    ("", "forward", "Python", "of copy", "backward", "Python", "of copy", "peak", "both /"),
    ("", "ms", "ms", "", "ms", "ms", "", "MB", "LIFNode"),
)


class Bytes(NamedTuple):
    """What a forward and its backward read and write of the GPU's memory."""

    forward: int
    backward: int


def moved(shape: tuple[int, ...], dtype: torch.dtype, parameters: Parameters) -> Bytes:
    """Count the bytes that the kernel moves from rest, with a gradient of the spikes alone.

    Args:
        shape: That of the currents, [T, N, ...].
        dtype: Theirs.
        parameters: The neuron; its threshold is one for all.
    """
    steps, neurons = shape[0], math.prod(shape[1:])
    currents, state = dtype.itemsize * steps * neurons, 4 * neurons
    forward, backward = 2 * currents + state, 3 * currents
    if parameters.measures:  # r goes through memory from one step to the next
        forward += 2 * steps * state
    if cupy.packs(torch.empty(shape, dtype=dtype, device="meta"), parameters):
        words = 4 * math.prod(cupy.packed_shape(shape))
        return Bytes(forward + words, backward + words)
    held = cupy.held_steps(dtype)
    walked = math.ceil(steps / held) - 1  # segments that are walked forward first
    kept = state * (walked + max(walked - 1, 0))  # written, and read of all but the first
    return Bytes(forward, backward + kept + dtype.itemsize * walked * held * neurons)


def render(result: dict[str, Any]) -> str:
    """Return the tables of what was measured.

    Args:
        result: What the benchmark has written as JSON.
    """
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        f"Measured on {result['date']} at commit {result['commit']} on {result['device']}",
        f"({versions}), medians of {result['rounds']} rounds;",
        f"a copy of 1 GiB moves {result['copy_gb_s']:.0f} GB/s.",
        "",
        "```",
    ]
    for table in result["tables"]:
        shape = list(table["shape"])
        lines += [f"{shape}, {table['dtype']}: a copy moves {table['copy_gb_s']:.0f} GB/s"]
        lines += [LINE.format(*head).rstrip() for head in HEADS]
        host = next((row for row in table["rows"] if row["is_host"] and "error" not in row), None)
        lines += [_line(row, host, table["copy_gb_s"]) for row in table["rows"]] + [""]
    return "\n".join([*lines[:-1], "```", ""])


def _line(row: dict[str, Any], host: dict[str, Any] | None, copy: float) -> str:
    if "error" in row:
        return f"{row['name']:<38}  {row['error']}"

    def figures(way: str) -> list[str]:
        milliseconds, counted = row[f"{way}_ms"], row.get(f"{way}_bytes")
        fraction = f"{counted / milliseconds / 1e6 / copy:.2f}" if counted else ""
        mark = "" if row["python_is_hidden"] else "+"
        return [f"{milliseconds:.3f}{mark}", f"{row[f'{way}_python_ms']:.3f}", fraction]

    both = row["forward_ms"] + row["backward_ms"]
    ratio = f"{both / (host['forward_ms'] + host['backward_ms']):.3f}" if host else ""
    peak = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.0f}"
    return LINE.format(row["name"], *figures("forward"), *figures("backward"), peak, ratio).rstrip()


def written_into(page: str, table: str) -> str:
    """Return a page with the table between its marks.

    Args:
        page: The text of the page.
        table: What `render` returns.
    """
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise SystemExit("error: the page has no place for it: two marks, begin and end")
    return before + BEGIN + table + END + after


def main() -> None:
    """Print the table, or write it into a page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("json", type=Path)
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    result = json.loads(options.json.read_text("utf-8"))
    if options.into is None:
        sys.stdout.write(render(result))
        return
    if not result["is_of_a_gpu"]:
        parser.error("it was not measured on a GPU")
    page = written_into(options.into.read_text("utf-8"), render(result))
    with atomic_write(options.into, "w") as file:
        file.write(page)


if __name__ == "__main__":
    main()
