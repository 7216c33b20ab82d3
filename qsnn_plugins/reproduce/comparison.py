"""The methods side by side on networks of our own: the tables of docs/results/README.md.

A gap is paired: each run is held against the run of the same seed, or of the same fold, that it is
compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from qsnn_plugins.errors import DataError
from qsnn_plugins.reproduce.paper import load_paper
from qsnn_plugins.reproduce.results import Result
from qsnn_plugins.reproduce.table import PaperTable, TableColumn, TableRow

__all__ = ["Mean", "comparison_tables", "is_compared", "paired_gap", "splice"]

_BEGIN = "<!-- written by `qsnn reproduce --write`: the comparisons -->"
_END = "<!-- end of the comparisons -->"
FOLD = "--data.fold="

_Runs = dict[tuple[str, ...], Result]


@dataclass(frozen=True)
class Mean:
    """A mean over runs, with its standard error.

    Args:
        value: The mean.
        error: Standard error of the mean; None for a single run.
        count: How many runs.

    Example:
        >>> print(Mean.of([90.0, 91.0])), print(Mean.of([-1.25]))
        90.50 ± 0.50
        -1.25
        (None, None)
    """

    value: float
    error: float | None
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Mean:
        """Return the mean of at least one value."""
        found = list(values)
        error = stdev(found) / sqrt(len(found)) if len(found) > 1 else None
        return cls(fmean(found), error, len(found))

    def __str__(self) -> str:
        return f"{self.value:.2f}" + ("" if self.error is None else f" ± {self.error:.2f}")


def paired_gap(runs: _Runs, others: _Runs) -> Mean | None:
    """Return the mean difference over the seeds and folds that both have, or None without one."""
    both = [key for key in runs if key in others]
    return Mean.of(runs[key].value - others[key].value for key in both) if both else None


def is_compared(result: Result) -> bool:
    """Whether a run has its place here: one of a row's own words, or of a fold behind them."""
    return result.paper == "comparison" and all(word.startswith(FOLD) for word in result.changes)


def comparison_tables(results: Iterable[Result]) -> str:
    """Write the tables.

    Args:
        results: Of any runs; those of the rows of `tables/comparison.yaml` are taken, with their
            own words or a fold behind them.

    Returns:
        Markdown; tables without a run are left out.

    Example:
        >>> comparison_tables([])
        ''
    """
    found: dict[tuple[str, str, str], _Runs] = {}
    for result in results:
        if is_compared(result):
            runs = found.setdefault((result.table, result.row, result.column), {})
            runs[str(result.seed), *result.changes] = result
    lines: list[str] = []
    for table in load_paper("comparison").tables.values():
        for column in table.columns.values():
            of_column = {
                name: found[table.table, name, column.name]
                for name in table.rows
                if (table.table, name, column.name) in found
            }
            if of_column:
                lines += _section(table, column, of_column)
    return "\n".join(lines)


def _section(table: PaperTable, column: TableColumn, runs: dict[str, _Runs]) -> Iterator[str]:
    named = f": {column.title}" if len(table.columns) > 1 else ""
    yield f"## {table.caption}{named}\n"
    trained = [row for row in table.rows.values() if row.trains and row.row in runs]
    tested = [row for row in table.rows.values() if not row.trains and row.row in runs]
    reference = next(iter(table.rows))
    starts = list(dict.fromkeys(_start(row) for row in trained if row.row != reference))
    head = ["method", "weights, kB", "states, kB"]
    for start in starts or [""]:
        head += [f"{column.title}, %{start and ', '}{start}", "against float"]
    yield from _header([*head, "runs", "in print"])
    methods: dict[str, dict[str, TableRow]] = {}
    for row in trained:
        methods.setdefault(_method(row), {})[_start(row)] = row
    for method, rows in methods.items():
        first = next(iter(rows.values()))
        cells = [method, *_bytes(runs[first.row])]
        for start in starts or [""]:
            shown = first if first.row == reference else rows.get(start)
            cells += _values(runs[shown.row], runs.get(reference, {})) if shown else ["", ""]
        counts = {str(len(runs[row.row])) for row in rows.values()}
        yield _line([*cells, " and ".join(sorted(counts)), first.notes.get(column.name, "")])
    yield ""
    yield f"{_source([run for of_row in runs.values() for run in of_row.values()])}\n"
    if missing := [row.row for row in table.rows.values() if row.row not in runs]:
        yield f"Not measured yet: {'; '.join(missing)}.\n"
    if tested:
        yield "Trained networks under another spec, tested without further training:\n"
        yield from _header(["spec", f"{column.title}, %", "against", "gap", "runs", "in print"])
        for row in tested:
            value, gap = _values(runs[row.row], runs.get(str(row.start), {}))
            note = row.notes.get(column.name, "")
            yield _line([row.row, value, str(row.start), gap, str(len(runs[row.row])), note])
        yield ""


def _source(runs: list[Result]) -> str:
    """What measured runs, from which seeds, at which commits and on what."""

    def named(word: str, values: Iterable[object]) -> str:
        found = [str(value) for value in dict.fromkeys(values)]
        return f"{word}{'s' * (len(found) > 1)} {', '.join(found)}"

    parts = [
        f"Measured by `qsnn measure -c {runs[0].recipe}`",
        named("seed", sorted(run.seed for run in runs)),
        named("commit", (run.commit for run in runs)),
        "; ".join(dict.fromkeys(run.machine for run in runs)),
    ]
    return (
        f"{'; '.join(parts)}. ± is the standard error of the mean. Gaps are between runs of the "
        "same seed and fold."
    )


def _values(runs: _Runs, others: _Runs) -> list[str]:
    gap = paired_gap(runs, others)
    is_same = runs is others or gap is None
    return [str(Mean.of(run.value for run in runs.values())), "" if is_same else _signed(gap)]


def _signed(gap: Mean | None) -> str:
    text = str(gap)
    return text if text.startswith("-") else f"+{text}"


def _bytes(runs: _Runs) -> list[str]:
    first = next(iter(runs.values()))
    return [
        f"{size / 1000:,.1f}" if size else "" for size in (first.weight_bytes, first.state_bytes)
    ]


def _method(row: TableRow) -> str:
    return row.row.partition(", from ")[0]


def _start(row: TableRow) -> str:
    """How a row begins, where its name says so."""
    _, said, start = row.row.partition(", from ")
    return f"from {start}" if said else ""


def _header(titles: list[str]) -> Iterator[str]:
    """The titles of columns: words, numbers, and words again."""
    yield _line(titles)
    yield _line(["---", *("---:" for _ in titles[1:-1]), "---"])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def splice(page: str, tables: str) -> str:
    r"""Put the tables into a page, between the two marks that are there.

    Raises:
        DataError: If the marks are not there.

    Example:
        >>> page = f"a\n{_BEGIN}\nold\n{_END}\nb\n"
        >>> splice(page, "new") == f"a\n{_BEGIN}\n\nnew\n{_END}\nb\n"
        True
    """
    before, begun, rest = page.partition(_BEGIN)
    _, ended, after = rest.partition(_END)
    if not (begun and ended):
        raise DataError(f"the page has no marks {_BEGIN!r} and {_END!r}")
    return f"{before}{_BEGIN}\n\n{tables}\n{_END}{after}"
