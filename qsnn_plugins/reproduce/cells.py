"""The cells of the tables: printed, computed and measured side by side, each with a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

# importing them fills RULES
from qsnn_plugins.reproduce import memory_rules, operation_rules  # noqa: F401
from qsnn_plugins.reproduce.case import Case, NotComputedError
from qsnn_plugins.reproduce.cell import Cell, Verdict
from qsnn_plugins.reproduce.digits import compare
from qsnn_plugins.reproduce.paper import Paper
from qsnn_plugins.reproduce.results import Result
from qsnn_plugins.reproduce.table import PaperTable, TableColumn, TableRow

__all__ = ["build_cells"]

TRUNCATED = "truncated: printed with the further digits cut off"


def build_cells(
    paper: Paper, results: Iterable[Result] = (), table: str | None = None
) -> list[Cell]:
    """Compute every cell of a paper's tables.

    Args:
        paper: Its tables.
        results: What was measured; several results of one cell are averaged.
        table: The only table, or None for all.

    Returns:
        The cells, table by table and row by row.

    Example:
        >>> from qsnn_plugins.reproduce import load_paper
        >>> build_cells(load_paper("qsnn"), table="fig3")[0].verdict.value
        'agrees'
    """
    measured: dict[tuple[str, str, str, str], list[Result]] = {}
    for result in results:
        measured.setdefault(result.cell, []).append(result)
    return [
        _Maker(paper.paper, known, row, known.columns[column]).cell(
            measured.get((paper.paper, known.table, row.row, column), [])
        )
        for known in paper.tables.values()
        if table in (None, known.table)
        for row in known.rows.values()
        for column in known.columns
        if column in row.printed
    ]


@dataclass(frozen=True)
class _Maker:
    """Makes one cell."""

    paper: str
    table: PaperTable
    row: TableRow
    column: TableColumn

    def cell(self, results: list[Result]) -> Cell:
        computed, lack = self.computed
        measured = fmean(result.value for result in results) if results else None
        printed = self.row.printed[self.column.name]
        verdict, reason = self.verdict(printed, computed if measured is None else measured, lack)
        if verdict is Verdict.DIFFERS and measured is not None and not reason:
            reason = _reduced(results)
        return Cell(
            self.paper,
            self.table.table,
            self.row.row,
            self.column.name,
            printed,
            computed,
            measured,
            self.column.unit,
            self.column.rule_for(self.row.group),
            verdict,
            reason,
            self.column.measured,
        )

    @cached_property
    def computed(self) -> tuple[float | None, str | None]:
        """The computed value, or what it lacks."""
        if self.column.measured:
            recipe = f": {self.row.recipe}" if self.row.recipe else ""
            return None, f"a measurement{recipe}"
        try:
            return _case(self.paper, self.table, self.row, self.column).compute(), None
        except NotComputedError as lack:
            return None, str(lack)

    def verdict(
        self, printed: str | None, ours: float | None, lack: str | None
    ) -> tuple[Verdict, str | None]:
        note = self.row.notes.get(self.column.name)
        if printed is None:
            return Verdict.NOT_PRINTED, note
        if ours is None:
            return Verdict.NOT_COMPUTED, f"needs {lack}"
        match compare(printed, ours):
            case "agrees":
                return Verdict.AGREES, None
            case "truncated":
                return Verdict.DIFFERS, TRUNCATED
        reasons, group = self.column.reasons, self.row.group or "all"
        told = self.row.reasons.get(self.column.name) or reasons.get(group, reasons.get("all"))
        return Verdict.DIFFERS, told


def _case(paper: str, table: PaperTable, row: TableRow, column: TableColumn) -> Case:
    columns = table.columns.items()
    rules = {name: c.rule_for(row.group) for name, c in columns}
    networks = {name: table.network(row, c) for name, c in columns}
    base = table.rows[row.baseline] if row.baseline else None
    return Case(
        paper,
        column.name,
        column.unit,
        {**row.settings, **column.settings},
        {name: network for name, network in networks.items() if network},
        {name: rule for name, rule in rules.items() if rule},
        {name: c.unit for name, c in columns},
        _case(paper, table, base, column) if base else None,
    )


def _reduced(results: list[Result]) -> str | None:
    """Say that a result is of less than the recipe, where it is."""
    changed: Iterator[str] = (" ".join(r.changes) for r in results if r.changes)
    words = next(changed, None)
    return f"another network: measured with {words}" if words else None
