"""`qsnn recipes`: all trained rows, with command, printed value and measured value.

It prints the content of `recipes/README.md`; a test fails if the file differs.
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
_USAGE = "usage: qsnn recipes [--write | --check]"
_HELP = f"""\
{_USAGE}

Print all recipes: each row of the papers' tables with the command that trains it, the printed value
and what we measured.

  --write     write the list to {PAGE}
  --check     fail if {PAGE} is out of date

example:
  qsnn recipes"""
_HEAD = """\
# Recipes

<!-- written by `qsnn recipes --write`; edit the tables' data or docs/results instead -->

All rows of the papers' classification tables, with the command that trains each of them from the
root of a checkout. To test the trained network, run the same command with `test` instead of `fit`
and with `--ckpt_path last`. `printed` is the value in the paper. `measured` is the value that we
measured with this command and recorded in [docs/results](../docs/results/README.md).{pending} Runs
on other data, with smaller networks or fewer epochs are in
[a separate table](../docs/reproduction/README.md#what-we-measured-on-what).

Rows whose command begins with `lightning test` are not trained. They use the weights that the
`float` row of the table has left in `runs`, with another spec (`--ckpt_changes=allow`).

`-c recipes/overlays/NAME.yaml` changes a recipe; a comment at the top of each file says how. Files
are applied in their order, and then options such as `--model.network.spec.weight_bits=2`. Mappings
are merged, lists and values are replaced, and null resets an option. In a spec, a part whose `kind`
changes loses its other options, and so does a spec whose `preset` changes. Elsewhere, a new
`class_path` keeps the options that the new class has, too. `base: NAME.yaml` makes a recipe start
from another one. The numbers of classes and channels and the input size of a network come from the
data, unless a recipe sets them. `--model.network.host=snntorch` builds a network with snnTorch's
neurons, except for SpikingJelly's own networks (SEW-ResNet, Spikformer).
"""

_PENDING = " No row has been\nrun at full size yet, since this needs a GPU."


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
        key = (result.recipe, *result.overrides, result.commit)
        groups.setdefault(key, []).append(result)
    for runs in groups.values():
        values, first = [run.value for run in runs], runs[0]
        text = f"{fmean(values):.2f} {first.unit}"
        if len(values) > 1:
            text += f" ± {stdev(values):.2f} ({len(values)} seeds)"
        dates = sorted({run.date for run in runs})
        days = " to ".join(dict.fromkeys([dates[0], dates[-1]]))
        machines = " and ".join(dict.fromkeys(run.machine for run in runs))
        epochs = f"{first.epochs} epochs, {days}, {machines}, {first.commit[:7]}"
        seeds = "seed " + ", ".join(str(run.seed) for run in runs)
        yield f"{text} {epochs}, {seeds}, [log](../docs/results/{first.log})"


def main(words: list[str]) -> int:
    """Print the page, or write or check the file; 0 if done, 1 where it is stale, else 2."""
    asked = words in (["-h"], ["--help"])
    if words not in ([], ["--write"], ["--check"]):
        print(_HELP if asked else _USAGE, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    if words and not PAGE.parent.is_dir():
        print(
            f"error: there is no folder {PAGE.parent} here: run {words[0]} in a checkout",
            file=sys.stderr,
        )
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
        print(f"error: {PAGE} is out of date: run qsnn recipes --write", file=sys.stderr)
        return 1
    return 0
