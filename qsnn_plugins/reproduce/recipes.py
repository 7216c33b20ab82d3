"""`qsnn recipes`: every row that a training fills, its command, its print and what we measured.

What it prints is `recipes/README.md`; a test fails where that file says something else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from qsnn_plugins.errors import DataError
from qsnn_plugins.reproduce.paper import PAPERS, PaperTable, TableColumn, TableRow, load_paper
from qsnn_plugins.reproduce.results import Result, load_results

__all__ = ["TrainedCell", "main", "recipes_page", "trained_cells"]

RESULTS = Path("docs/results")
PAGE = Path("recipes/README.md")
# An accuracy; where a row prints none, what it gains or loses against another row.
_UNITS = ("%", "points")
# Detection, and accuracies measured on an FPGA.
_NO_CLASSIFIER = {("imsnn", "VII"), ("spquant", "9"), ("bit_budget", "4")}

_HEAD = """\
# Recipes

<!-- written by `qsnn recipes --write`; edit the tables' data or docs/results instead -->

Every row of the papers' classification tables, with the command that trains it from the root of a
checkout. The test of a trained network is the same command with `test` for `fit`, and
`--ckpt_path last`. `printed` is what the paper prints; `measured` is what we measured and recorded
in [docs/results](../docs/results/README.md), with the words that were added to the command where
the run was a smaller one.{pending}

`-c recipes/overlays/NAME.yaml` goes on top of a recipe; each file says what it does.
`--model.network.host=snntorch` builds a network of snnTorch's neurons, except where it is one of
SpikingJelly's own (SEW-ResNet, Spikformer).
"""

_PENDING = " No row has been run at its full size yet: that waits for a GPU."


@dataclass(frozen=True)
class TrainedCell:
    """One cell that takes a training.

    Args:
        paper: Key of the paper.
        table: Number of the table.
        row: The row.
        column: The column.
        recipe: Recipe that trains it, or None.

    Example:
        >>> cell = next(cell for cell in trained_cells() if cell.recipe)
        >>> cell.command
        'lightning fit -c recipes/imsnn_resnet19_cifar10.yaml -c recipes/overlays/float.yaml'
    """

    paper: str
    table: str
    row: TableRow
    column: TableColumn
    recipe: str | None

    @property
    def command(self) -> str:
        """What trains it."""
        return " ".join(["lightning fit -c", str(self.recipe), *self.row.overrides])

    @property
    def printed(self) -> str:
        """What is printed, with its unit and the row's note."""
        value, note = self.row.printed[self.column.name], self.row.notes.get(self.column.name, "")
        unit = "%" if self.column.unit == "%" else f"{self.column.unit} ({self.column.title})"
        return "; ".join(part for part in (value and f"{value} {unit}", note) if part)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Paper, table, row and column, as in a `Result`."""
        return self.paper, self.table, self.row.row, self.column.name

    @property
    def without(self) -> str:
        """Why no recipe trains it; empty where one does, or where a reason is lacking."""
        if self.recipe:
            return ""
        return self.row.without_recipe or ("" if self.row.own else "quoted from other work")


def trained_cells(papers: Iterable[str] = PAPERS) -> Iterator[TrainedCell]:
    """List the cells of the classification tables that a training fills.

    Args:
        papers: Keys of papers.

    Example:
        >>> len({cell.table for cell in trained_cells(["qsnn"])})
        3
    """
    for paper in papers:
        for table in load_paper(paper).tables.values():
            if (paper, table.table) not in _NO_CLASSIFIER:
                yield from _cells(paper, table)


def _cells(paper: str, table: PaperTable) -> Iterator[TrainedCell]:
    measured = [column for column in table.columns.values() if column.measured]
    for row in table.rows.values():
        printed = [column for column in measured if column.name in row.printed]
        unit = next((u for u in _UNITS if any(column.unit == u for column in printed)), None)
        for column in printed:
            if column.unit == unit:
                # a quoted row joins a column's recipe by saying what it changes
                shared = column.recipe if row.own or row.overrides else None
                recipe = None if row.without_recipe else row.recipe or shared
                yield TrainedCell(paper, table.table, row, column, recipe)


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
    measured: dict[tuple[str, str, str, str], list[Result]] = {}
    for result in results:
        measured.setdefault(result.cell, []).append(result)
    whole = any(not result.changes for runs in measured.values() for result in runs)
    parts = [_HEAD.replace("{pending}", "" if whole else _PENDING)]
    for paper in PAPERS:
        cells = list(trained_cells([paper]))
        parts.append(f"## {load_paper(paper).title}\n")
        for table in dict.fromkeys(cell.table for cell in cells):
            parts += _section(paper, table, [c for c in cells if c.table == table], measured)
    return "\n".join(parts)


def _section(
    paper: str,
    table: str,
    cells: list[TrainedCell],
    measured: dict[tuple[str, str, str, str], list[Result]],
) -> Iterator[str]:
    known = load_paper(paper).tables[table]
    yield f"### {_title(table)}: {known.caption}\n"
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


def _title(table: str) -> str:
    return f"Fig. {table.removeprefix('fig')}" if table.startswith("fig") else f"Table {table}"


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
        added = f"with `{' '.join(first.changes)}`, " if first.changes else ""
        yield f"{text} {added}{epochs}, {seeds}, [log](../docs/results/{first.log})"


def main(words: list[str]) -> int:
    """Print the page, or write or check the file; 0 if done, 1 where it is stale, else 2."""
    if words not in ([], ["--write"], ["--check"]):
        print(
            "usage: qsnn recipes [--write | --check]     "
            f"prints {PAGE}, writes it, or fails where it is stale",
            file=sys.stderr,
        )
        return 0 if words in (["-h"], ["--help"]) else 2
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
        aside = PAGE.with_suffix(".md.part")
        aside.write_text(page, "utf-8")
        aside.replace(PAGE)
    elif not PAGE.is_file() or PAGE.read_text("utf-8") != page:
        print(f"error: {PAGE} is stale: run qsnn recipes --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
