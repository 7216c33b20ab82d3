"""How a table of cells reads, before it becomes Markdown or a table of the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from qsnn_plugins.reproduce.case import RULES
from qsnn_plugins.reproduce.cells import Cell, Standing, Verdict
from qsnn_plugins.reproduce.paper import Paper, PaperTable, TableColumn

__all__ = ["TableLayout", "lay_out", "table_name"]

LEGEND = (
    "A cell is the printed value, and after it what we compute or, in columns that a training or "
    "hardware fills, what we measured: `=` where it has the printed digits, `≠` where it has not, "
    "with the number of the reason or `?` where none is known. A printed value alone waits for a "
    "measurement, or for a network or a rule. `–` stands where nothing is printed that can be read."
)


@dataclass(frozen=True)
class TableLayout:
    """One table, as texts.

    Args:
        title: Its number and caption.
        told: Where it stands in the paper, and what must be known of it.
        columns: Titles with units; the first is of the rows' names.
        rows: Name and texts of each row.
        standings: Of each row's texts, without the name; None where there is no cell.
        reasons: Numbered from 1, as the texts refer to them.
        rules: Which rule computes which column and group.
        lacks: What is lacking where nothing could be computed, and in which cells.
        notes: What else must be known of cells.

    Example:
        >>> from qsnn_plugins.reproduce import build_cells, load_paper
        >>> paper = load_paper("qsnn")
        >>> next(lay_out(paper, build_cells(paper))).rows[0]
        ('CIFAR-10, float SNN, ResNet19, 32w-32u', '96.36')
    """

    title: str
    told: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    standings: tuple[tuple[Standing | None, ...], ...]
    reasons: tuple[str, ...]
    rules: tuple[str, ...]
    lacks: tuple[str, ...]
    notes: tuple[str, ...]


def lay_out(paper: Paper, cells: Iterable[Cell]) -> Iterator[TableLayout]:
    """Lay out the tables that have cells.

    Args:
        paper: Its tables.
        cells: Cells of this paper.

    Example:
        >>> from qsnn_plugins.reproduce import load_paper
        >>> list(lay_out(load_paper("qsnn"), []))
        []
    """
    by_table: dict[str, dict[tuple[str, str], Cell]] = {}
    for cell in cells:
        by_table.setdefault(cell.table, {})[cell.row, cell.column] = cell
    for name, found in by_table.items():
        yield _lay_out(paper.tables[name], found)


def table_name(table: str) -> str:
    """Name a table or a figure.

    Example:
        >>> table_name("fig3"), table_name("IV")
        ('Fig. 3', 'Table IV')
    """
    return f"Fig. {table.removeprefix('fig')}" if table.startswith("fig") else f"Table {table}"


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
        ("", *(f"{column.title} ({column.unit})" for column in columns)),
        tuple(rows),
        tuple(standings),
        tuple(numbers),
        tuple(line for column in columns for line in _rules(table, column)),
        _gathered(table, cells.values(), _lack),
        _gathered(table, cells.values(), lambda cell: table.rows[cell.row].notes.get(cell.column)),
    )


def _text(cell: Cell, numbers: dict[str, int]) -> str:
    if cell.ours is None:
        return "–" if cell.printed is None else cell.printed
    if cell.printed is None:
        return f"– {_number(cell.ours, None)}"
    ours = _number(cell.ours, cell.printed)
    if cell.verdict is Verdict.AGREES:
        return f"{cell.printed} = {ours}"
    mark = numbers.setdefault(cell.reason, len(numbers) + 1) if cell.reason else "?"
    return f"{cell.printed} ≠ {ours} [{mark}]"


def _number(value: float, printed: str | None) -> str:
    """Two digits more than are printed, so that a reader sees what was rounded."""
    if printed is None:
        return f"{value:.4g}"
    decimals = len(printed.partition(".")[2])
    return f"{value:.{decimals + 2}f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def _rules(table: PaperTable, column: TableColumn) -> Iterator[str]:
    for group, name in column.rules.items():
        rows = "" if group == "all" else f", {table.groups[group]}"
        if group == "all" and len(column.rules) > 1:
            rows = ", other rows"
        yield f"{column.title}{rows}: {RULES[name].statement}"


def _lack(cell: Cell) -> str | None:
    return cell.reason if cell.standing is Standing.UNCOMPUTED else None


def _gathered(
    table: PaperTable, cells: Iterable[Cell], tell: Callable[[Cell], str | None]
) -> tuple[str, ...]:
    """What is told of cells, each once, with the columns and rows that it is told of."""
    gathered: dict[str, dict[str, list[str]]] = {}
    for cell in cells:
        if told := tell(cell):
            columns = gathered.setdefault(told, {})
            columns.setdefault(table.columns[cell.column].title, []).append(cell.row)
    return tuple(
        f"{told}: " + " / ".join(f"{title} of {'; '.join(r)}" for title, r in columns.items())
        for told, columns in gathered.items()
    )
