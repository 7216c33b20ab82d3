"""The texts of a table of cells, for Markdown or a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from qsnn_plugins.reproduce.case import statement
from qsnn_plugins.reproduce.cell import Cell, Standing, Verdict
from qsnn_plugins.reproduce.networks import NETWORKS
from qsnn_plugins.reproduce.paper import Paper
from qsnn_plugins.reproduce.table import PaperTable, TableColumn, table_name

__all__ = ["TableLayout", "lay_out"]

LEGEND = (
    "Each cell begins with the printed value, followed by ours. In columns marked `computed`, our "
    "value is computed from the network by a rule listed below the table. In columns marked "
    "`measured`, it was measured with the recipe of the row (`qsnn recipes` prints the commands). "
    "`=`: our value has the printed digits. `≠`: it differs; the difference follows, and the "
    "number of the reason below the table, or `?` if the reason is unknown. Cells with only a "
    "printed value still need a measurement, a network or a rule. `–`: no number is printed, or it "
    "cannot be read in our copy."
)


@dataclass(frozen=True)
class TableLayout:
    """One table, as texts.

    Args:
        title: Its number and caption.
        description: Where it stands in the paper, and what must be known of it.
        columns: Titles with units; the first is of the rows' names.
        rows: Name and texts of each row.
        standings: Of each row's texts, without the name; None where there is no cell.
        reasons: Each with the number, from 1, by which the texts refer to it.
        rules: Which rule computes which column and group.
        networks: What was counted.
        missing: What is missing where nothing could be computed, and in which cells.
        notes: What else must be known of cells.

    Example:
        >>> from qsnn_plugins.reproduce import build_cells, load_paper
        >>> paper = load_paper("qsnn")
        >>> next(lay_out(paper, build_cells(paper))).rows[0]
        ('CIFAR-10, float SNN, ResNet19, 32w-32u', '96.36')
    """

    title: str
    description: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    standings: tuple[tuple[Standing | None, ...], ...]
    reasons: tuple[str, ...]
    rules: tuple[str, ...]
    networks: tuple[str, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def lay_out(paper: Paper, cells: Iterable[Cell], table: str | None = None) -> Iterator[TableLayout]:
    """Lay out the tables that have cells, and those of which no row is known.

    Args:
        paper: Its tables.
        cells: Cells of this paper.
        table: The only table, or None for all.

    Example:
        >>> from qsnn_plugins.reproduce import load_paper
        >>> [layout.title for layout in lay_out(load_paper("spquant"), [], "10")]
        ['Table 10: Theoretical energy']
    """
    by_table: dict[str, dict[tuple[str, str], Cell]] = {}
    for cell in cells:
        by_table.setdefault(cell.table, {})[cell.row, cell.column] = cell
    for name, known in paper.tables.items():
        if table in (None, name) and (name in by_table or not known.rows):
            yield _lay_out(known, by_table.get(name, {}))


def _lay_out(table: PaperTable, cells: dict[tuple[str, str], Cell]) -> TableLayout:
    columns = [c for c in table.columns.values() if any(c.name == column for _, column in cells)]
    numbers: dict[str, int] = {}
    rows, standings = [], []
    for row in dict.fromkeys(name for name, _ in cells):
        found = [cells.get((row, column.name)) for column in columns]
        rows.append((row, *(_text(cell, numbers) if cell else "" for cell in found)))
        standings.append(tuple(cell.standing if cell else None for cell in found))
    page = f", page {table.page}" if table.page else ""
    return TableLayout(
        f"{table_name(table.table)}: {table.caption}",
        f"{table.place[0].upper()}{table.place[1:]}{page}. {table.note}".strip(),
        ("", *(_title(column) for column in columns)),
        tuple(rows),
        tuple(standings),
        tuple(f"[{number}] {reason}" for reason, number in numbers.items()),
        _rules(table, columns),
        tuple(dict.fromkeys(_networks(table, cells.values()))),
        _gather(
            table,
            cells.values(),
            lambda cell: cell.reason if cell.standing is Standing.UNCOMPUTED else None,
        ),
        _gather(table, cells.values(), lambda cell: table.rows[cell.row].notes.get(cell.column)),
    )


def _title(column: TableColumn) -> str:
    kind = "measured" if column.measured is True else "computed" if column.rules else ""
    return f"{column.title} ({column.unit})" + (f", {kind}" if kind else "")


def _text(cell: Cell, numbers: dict[str, int]) -> str:
    if cell.ours is None:
        return "–" if cell.printed is None else cell.printed
    if cell.printed is None:
        return f"– {_number(cell.ours, None)}"
    ours = _number(cell.ours, cell.printed)
    if cell.verdict is Verdict.AGREES:
        return f"{cell.printed} = {ours}"
    mark = numbers.setdefault(cell.reason, len(numbers) + 1) if cell.reason else "?"
    return f"{cell.printed} ≠ {ours} ({_difference(cell)}) [{mark}]"


def _difference(cell: Cell) -> str:
    """Computed values differ by a percentage, measured values by points."""
    difference = cell.difference or 0.0
    if cell.measured is not None:
        return f"{difference:+.2f}"
    printed = float(cell.printed or 0)
    return f"{100 * difference / printed:+.2g} %" if printed else f"{difference:+.2g}"


def _number(value: float, printed: str | None) -> str:
    """Two digits more than are printed, so that a reader sees what was rounded."""
    if printed is None:
        return f"{value:.4g}"
    decimals = len(printed.partition(".")[2])
    return f"{value:.{decimals + 2}f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def _rules(table: PaperTable, columns: Iterable[TableColumn]) -> tuple[str, ...]:
    """Each rule once, with the columns and groups of rows that it computes."""
    gathered: dict[str, list[str]] = {}
    for column in columns:
        for group, name in column.rules.items():
            rows = ""
            if len(column.rules) > 1:
                rows = f" of {'other rows' if group == 'all' else table.groups[group]}"
            gathered.setdefault(statement(name), []).append(column.title + rows)
    return tuple(f"{counted}: {'; '.join(places)}" for counted, places in gathered.items())


def _networks(table: PaperTable, cells: Iterable[Cell]) -> Iterator[str]:
    for cell in cells:
        key = table.network(table.rows[cell.row], table.columns[cell.column])
        if key and cell.computed is not None:
            height, width = NETWORKS[key].shape[1:]
            yield f"{NETWORKS[key].description}, over {height} x {width}"


def _gather(
    table: PaperTable, cells: Iterable[Cell], remark: Callable[[Cell], str | None]
) -> tuple[str, ...]:
    """Each remark on cells once, with the columns and rows that it is on."""
    gathered: dict[str, dict[str, list[str]]] = {}
    for cell in cells:
        if text := remark(cell):
            columns = gathered.setdefault(text, {})
            columns.setdefault(table.columns[cell.column].title, []).append(cell.row)
    return tuple(f"{text}: {' / '.join(_places(columns))}" for text, columns in gathered.items())


def _places(columns: dict[str, list[str]]) -> Iterator[str]:
    """Columns of the same rows together."""
    by_rows: dict[tuple[str, ...], list[str]] = {}
    for title, rows in columns.items():
        by_rows.setdefault(tuple(rows), []).append(title)
    return (f"{', '.join(titles)} of {'; '.join(rows)}" for rows, titles in by_rows.items())
