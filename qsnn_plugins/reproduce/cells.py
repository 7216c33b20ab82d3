"""The cells of the tables: printed, computed and measured side by side, each with a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from statistics import fmean

# importing them fills RULES
from qsnn_plugins.reproduce import memory_rules, operation_rules  # noqa: F401
from qsnn_plugins.reproduce.case import Case, NotComputedError
from qsnn_plugins.reproduce.digits import compare
from qsnn_plugins.reproduce.paper import Paper, PaperTable, TableColumn, TableRow
from qsnn_plugins.reproduce.results import Result

__all__ = ["Cell", "Standing", "Verdict", "build_cells", "count_standings"]

TRUNCATED = "truncated: printed with the further digits cut off"


class Verdict(StrEnum):
    """What comes of holding a printed value against ours."""

    AGREES = "agrees"
    DIFFERS = "differs"
    NOT_COMPUTED = "not computed"
    NOT_PRINTED = "not printed"


class Standing(StrEnum):
    """Verdicts as they are totalled."""

    AGREES = "agree"
    EXPLAINED = "differ, with a reason"
    UNEXPLAINED = "differ, unexplained"
    UNMEASURED = "need a measurement"
    UNCOMPUTED = "need a network, a rule or a figure"
    NOT_PRINTED = "have no printed value to compare"


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Args:
        paper: Key of the paper.
        table: Number of the table.
        row: Name of the row.
        column: Name of the column.
        printed: As printed, or None where the print cannot be read or has no number.
        computed: By the rule, in the unit, or None.
        measured: Mean of the recorded results, or None.
        unit: Of all three.
        rule: Name of the rule, or None.
        verdict: What comes of it.
        reason: Why it differs, what it lacks, or None.
        needs_measurement: Whether a training or hardware has to fill it.

    Example:
        >>> from qsnn_plugins.reproduce import load_paper
        >>> cell = build_cells(load_paper("sigmoid_quantizer"))[0]
        >>> cell.printed, cell.verdict.value
        ('392', 'not computed')
    """

    paper: str
    table: str
    row: str
    column: str
    printed: str | None
    computed: float | None
    measured: float | None
    unit: str
    rule: str | None
    verdict: Verdict
    reason: str | None
    needs_measurement: bool = False

    @property
    def ours(self) -> float | None:
        """What we have beside the printed value."""
        return self.measured if self.computed is None else self.computed

    @property
    def difference(self) -> float | None:
        """Ours less the printed value."""
        if self.printed is None or self.ours is None:
            return None
        return self.ours - float(self.printed)

    @property
    def standing(self) -> Standing:
        """How the cell is totalled."""
        match self.verdict:
            case Verdict.AGREES:
                return Standing.AGREES
            case Verdict.DIFFERS:
                return Standing.EXPLAINED if self.reason else Standing.UNEXPLAINED
            case Verdict.NOT_PRINTED:
                return Standing.NOT_PRINTED
        return Standing.UNMEASURED if self.needs_measurement else Standing.UNCOMPUTED


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
        >>> cells = build_cells(load_paper("qsnn"))
        >>> count_standings(cells)[Standing.UNEXPLAINED]
        0
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


def count_standings(cells: Iterable[Cell]) -> dict[Standing, int]:
    """Total the verdicts.

    Example:
        >>> count_standings([])[Standing.AGREES]
        0
    """
    counted = Counter(cell.standing for cell in cells)
    return {standing: counted[standing] for standing in Standing}


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
    networks = {name: (c.network if row.own else None) or row.network for name, c in columns}
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
