"""What was measured on what: the runs that are those of no paper's row.

They say that a recipe learns, on the data at hand and in the time at hand. None is a value of a
paper's cell.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import fmean, stdev

from qsnn_plugins.reproduce.paper import PAPERS
from qsnn_plugins.reproduce.results import Result

__all__ = ["MEASURED_COLUMNS", "MEASURED_NOTE", "MEASURED_TITLE", "measured_rows"]

MEASURED_TITLE = "What we measured, on what"
MEASURED_NOTE = (
    "Runs of `qsnn measure` with the recipe of a row of a paper, but with other data, a smaller "
    "network or fewer epochs, so they are not comparable with the printed values. Accuracies are "
    "means of the test accuracies after the last epoch, ± standard deviation over the seeds."
)
MEASURED_COLUMNS = (
    "data set",
    "network",
    "steps",
    "as the row",
    "accuracy (%)",
    "epochs",
    "seeds",
    "changed by",
    "commit, record",
)


def measured_rows(results: Iterable[Result]) -> list[tuple[str, ...]]:
    """Give one row of texts for the runs that differ in their seeds alone.

    Those on networks of our own are left to `comparison`.

    Args:
        results: Of any runs; those of a paper's row with its own words stand in its cell and are
            left out.

    Returns:
        Texts under `MEASURED_COLUMNS`.

    Example:
        >>> measured_rows([])
        []
    """
    groups: dict[tuple[str, ...], dict[int, Result]] = {}
    for result in results:
        if result.changes and result.paper in PAPERS:
            key = (result.recipe, *result.overrides, result.commit)
            # one run fills the cells of several tables: it is counted once
            groups.setdefault(key, {}).setdefault(result.seed, result)
    return [_row(list(runs.values())) for runs in groups.values()]


def _row(runs: list[Result]) -> tuple[str, ...]:
    first, values = runs[0], [run.value for run in runs]
    words = (word for word in first.changes if word != "-c")
    spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return (
        first.data or "?",
        first.network or "?",
        str(first.time_steps or "?"),
        first.row,
        f"{fmean(values):.2f}{spread}",
        str(first.epochs),
        ", ".join(str(run.seed) for run in runs),
        " ".join(Path(word).name if word.endswith(".yaml") else word for word in words),
        f"{first.commit[:7]}, {first.log.removesuffix('.csv')}",
    )
