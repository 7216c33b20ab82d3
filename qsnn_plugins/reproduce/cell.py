"""One cell of a table: printed, computed and measured, with a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Cell", "Standing", "Verdict", "count_standings"]


class Verdict(StrEnum):
    """Result of comparing a printed value with ours.

    Example:
        >>> print(Verdict.AGREES)
        agrees
    """

    AGREES = "agrees"
    DIFFERS = "differs"
    NOT_COMPUTED = "not computed"
    NOT_PRINTED = "not printed"


class Standing(StrEnum):
    """Categories for the totals of verdicts.

    Example:
        >>> print(Standing.EXPLAINED)
        differ, with a reason
    """

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
        printed: The printed value, or None if it cannot be read or there is no number.
        computed: Value computed by the rule, in the unit, or None.
        measured: Mean of the recorded results, or None.
        unit: Unit of all three.
        rule: Name of the rule, or None.
        verdict: Result of the comparison.
        reason: Why it differs, or what is missing, or None.
        needs_measurement: Whether it needs a training, or hardware.

    Example:
        >>> from qsnn_plugins.reproduce import build_cells, load_paper
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
        """Our value."""
        return self.measured if self.computed is None else self.computed

    @property
    def difference(self) -> float | None:
        """Our value minus the printed value."""
        if self.printed is None or self.ours is None:
            return None
        return self.ours - float(self.printed)

    @property
    def standing(self) -> Standing:
        """Category of the cell in the totals."""
        match self.verdict:
            case Verdict.AGREES:
                return Standing.AGREES
            case Verdict.DIFFERS:
                return Standing.EXPLAINED if self.reason else Standing.UNEXPLAINED
            case Verdict.NOT_PRINTED:
                return Standing.NOT_PRINTED
        return Standing.UNMEASURED if self.needs_measurement else Standing.UNCOMPUTED


def count_standings(cells: Iterable[Cell]) -> dict[Standing, int]:
    """Count the verdicts.

    Example:
        >>> count_standings([])[Standing.AGREES]
        0
    """
    counted = Counter(cell.standing for cell in cells)
    return {standing: counted[standing] for standing in Standing}
