"""`qsnn recipes`: every row that a training fills, its command, its print and what we measured.

What it prints is `recipes/README.md`; a test fails where that file says something else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import fmean, stdev

from qsnn_plugins.errors import DataError
from qsnn_plugins.files import atomic_write
from qsnn_plugins.reproduce.paper import TABLES, load_paper
from qsnn_plugins.reproduce.results import RESULTS, CellKey, Result, by_cell, load_results
from qsnn_plugins.reproduce.table import table_name
from qsnn_plugins.reproduce.trained import TrainedCell, trained_cells

__all__ = ["main", "recipes_page"]

PAGE = Path("recipes/README.md")
_HEAD = """\
# Recipes

<!-- written by `qsnn recipes --write`; edit the tables' data or docs/results instead -->

Every row of the papers' classification tables, with the command that trains it from the root of a
checkout. The test of a trained network is the same command with `test` for `fit`, and
`--ckpt_path last`. `printed` is what the paper prints; `measured` is what we measured with that
command and recorded in [docs/results](../docs/results/README.md).{pending} Runs on other data, of
smaller networks or fewer epochs have
[a table of their own](../docs/reproduction/README.md#what-we-measured-on-what).

A row whose command begins with `lightning test` is not trained: it takes the weights that the
table's `float` row has left in `runs`, under another spec (`--ckpt_changes=allow`).

`-c recipes/overlays/NAME.yaml` goes on top of a recipe; each file says what it does. Files are laid
on top of each other in their order, then options such as `--model.network.spec.weight_bits=2`:
mappings merge, a list or a value replaces, null resets an option. In a spec, a part whose `kind`
changes starts anew, and so does a spec whose `preset` changes; elsewhere another `class_path` keeps
the options that the new class has too. `base: NAME.yaml` lays a recipe on top of another. A
network's classes, channels and input size are those of the data, unless a recipe gives them.
`--model.network.host=snntorch` builds a network of snnTorch's neurons, except where it is one of
SpikingJelly's own (SEW-ResNet, Spikformer).
"""

_PENDING = " No row has been\nrun at its full size yet: that waits for a GPU."


def recipes_page(results: Iterable[Result]) -> str:
    """Write the page.

    Args:
        results: What was measured.

    Returns:
        Markdown.

    Example:
        >>> recipes_page([]).splitlines()[0]
        '# Recipes'
    """
    measured = by_cell(results)
    parts = [_HEAD.replace("{pending}", "" if measured else _PENDING)]
    for paper in TABLES:
        cells = list(trained_cells([paper]))
        parts.append(f"## {load_paper(paper).title}\n")
        for table in dict.fromkeys(cell.table for cell in cells):
            parts += _section(paper, table, [c for c in cells if c.table == table], measured)
    return "\n".join(parts)


def _section(
    paper: str,
    table: str,
    cells: list[TrainedCell],
    measured: dict[CellKey, list[Result]],
) -> Iterator[str]:
    known = load_paper(paper).tables[table]
    yield f"### {table_name(table)}: {known.caption}\n"
    yield "| row | command | printed | measured |"
    yield "|---|---|---|---|"
    several = len({cell.column.name for cell in cells}) > 1
    for cell in (cell for cell in cells if cell.recipe):
        name = f"{cell.row.row}: {cell.column.title}" if several else cell.row.row
        found = "; ".join(_pooled(measured.get(cell.key, [])))
        yield f"| {name} | `{cell.command}` | {cell.printed} | {found} |"
    yield ""
    reasons: dict[str, dict[str, None]] = {}
    for cell in cells:
        if not cell.recipe:
            reasons.setdefault(cell.without, {})[cell.row.row] = None
    for reason, rows in reasons.items():
        yield f"Without a recipe, {reason}: {'; '.join(rows)}.\n"


def _pooled(results: list[Result]) -> Iterator[str]:
    """One entry for the runs that differ in their seeds alone."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        key = (result.recipe, *result.overrides, result.commit, result.date)
        groups.setdefault(key, []).append(result)
    for runs in groups.values():
        values, first = [run.value for run in runs], runs[0]
        text = f"{fmean(values):.2f} {first.unit}"
        if len(values) > 1:
            text += f" ± {stdev(values):.2f} ({len(values)} seeds)"
        epochs = f"{first.epochs} epochs, {first.date}, {first.machine}, {first.commit[:7]}"
        seeds = "seed " + ", ".join(str(run.seed) for run in runs)
        yield f"{text} {epochs}, {seeds}, [log](../docs/results/{first.log})"


def main(words: list[str]) -> int:
    """Print the page, or write or check the file; 0 if done, 1 where it is stale, else 2."""
    asked = words in (["-h"], ["--help"])
    if words not in ([], ["--write"], ["--check"]):
        print(
            "usage: qsnn recipes [--write | --check]     "
            f"prints {PAGE}, writes it, or fails where it is stale",
            file=sys.stdout if asked else sys.stderr,
        )
        return 0 if asked else 2
    if not PAGE.parent.is_dir():
        print(f"error: there is no folder {PAGE.parent} here: go to a checkout", file=sys.stderr)
        return 2
    try:
        page = recipes_page(load_results(RESULTS))
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not words:
        print(page, end="")
    elif words == ["--write"]:
        with atomic_write(PAGE, "w") as file:
            file.write(page)
    elif not PAGE.is_file() or PAGE.read_text("utf-8") != page:
        print(f"error: {PAGE} is stale: run qsnn recipes --write", file=sys.stderr)
        return 1
    return 0
