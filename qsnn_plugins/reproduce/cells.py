"""The cells of the tables: printed, computed and measured values, each with a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from qsnn_plugins.progress import tracked
from qsnn_plugins.reproduce import rules  # noqa: F401 (its import fills RULES)
from qsnn_plugins.reproduce.case import Case, NotComputedError
from qsnn_plugins.reproduce.cell import Cell, Verdict
from qsnn_plugins.reproduce.digits import compare
from qsnn_plugins.reproduce.paper import Paper
from qsnn_plugins.reproduce.results import CellKey, Result, by_cell
from qsnn_plugins.reproduce.table import PaperTable, TableColumn, TableRow

__all__ = ["build_cells"]

TRUNCATED = "truncated: printed with the further digits cut off"


def build_cells(
    paper: Paper, results: Iterable[Result] = (), table: str | None = None
) -> list[Cell]:
    """Compute every cell of a paper's tables.

    Args:
        paper: Its tables.
        results: Measured results; several results of one cell are averaged.
        table: The only table, or None for all.

    Returns:
        The cells, table by table and row by row.

    Example:
        >>> from qsnn_plugins.reproduce import load_paper
        >>> build_cells(load_paper("qsnn"), table="fig3")[1].verdict.value
        'agrees'
    """
    measured = by_cell(results)
    chosen = [
        (known, row, column)
        for known in paper.tables.values()
        if table in (None, known.table)
        for row in known.rows.values()
        for column in known.columns.values()
        if column.name in row.printed
    ]
    shown = tracked(chosen, f"computing the tables of {paper.paper}")
    return [_cell(paper.paper, *place, measured) for place in shown]


def _cell(
    paper: str,
    table: PaperTable,
    row: TableRow,
    column: TableColumn,
    measured: dict[CellKey, list[Result]],
) -> Cell:
    key = (paper, table.table, row.row, column.name)
    results = measured.get(key, [])
    mean = fmean(result.value for result in results) if results else None
    computed, missing = _compute(paper, table, row, column)
    verdict, reason = _verdict(row, column, computed if mean is None else mean, missing)
    return Cell(
        *key,
        row.printed[column.name],
        computed,
        mean,
        column.unit,
        column.rule_for(row.group),
        verdict,
        reason,
        column.measured_in(row),
    )


def _compute(
    paper: str, table: PaperTable, row: TableRow, column: TableColumn
) -> tuple[float | None, str | None]:
    """The computed value, or None and what it takes."""
    if column.measured_in(row):
        return None, f"a measurement: {row.recipe}" if row.recipe else "a measurement"
    try:
        return _case(paper, table, row, column).compute(), None
    except NotComputedError as error:
        return None, str(error)


def _verdict(
    row: TableRow, column: TableColumn, ours: float | None, missing: str | None
) -> tuple[Verdict, str | None]:
    printed = row.printed[column.name]
    if printed is None:
        return Verdict.NOT_PRINTED, row.notes.get(column.name)
    if ours is None:
        return Verdict.NOT_COMPUTED, f"needs {missing}"
    match compare(printed, ours):
        case "agrees":
            return Verdict.AGREES, None
        case "truncated":
            return Verdict.DIFFERS, TRUNCATED
    group_reason = column.reasons.get(row.group or "all", column.reasons.get("all"))
    return Verdict.DIFFERS, row.reasons.get(column.name) or group_reason


def _case(paper: str, table: PaperTable, row: TableRow, column: TableColumn) -> Case:
    columns = table.columns.items()
    rule_names = {name: c.rule_for(row.group) for name, c in columns}
    networks = {name: table.network(row, c) for name, c in columns}
    base = table.rows[row.baseline] if row.baseline else None
    return Case(
        paper,
        column.name,
        column.unit,
        {**row.settings, **column.settings},
        {name: network for name, network in networks.items() if network},
        {name: rule for name, rule in rule_names.items() if rule},
        {name: c.unit for name, c in columns},
        _case(paper, table, base, column) if base else None,
    )
