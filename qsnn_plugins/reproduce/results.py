"""Measured results in JSON files, each with one object or a list of objects."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any

from qsnn_plugins.errors import ArgumentError, DataError
from qsnn_plugins.reproduce.paper import load_paper

__all__ = [
    "RESULTS",
    "CellKey",
    "Result",
    "by_cell",
    "fitting_rows",
    "load_results",
    "read_results",
]

RESULTS = Path("docs/results")
CellKey = tuple[str, str, str, str]
"""Paper, table, row and column."""

_TYPES = {"str": str, "int": int, "float": (int, float), "tuple[str, ...]": (list, tuple)}
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Result:
    """One measured value of one cell, with everything needed to measure it again.

    Args:
        paper: Key of the paper.
        table: Number of the table.
        row: Name of the row.
        column: Name of a column that is filled by measuring.
        value: The measured value.
        unit: The column's unit.
        recipe: The recipe that was run.
        overrides: Words that followed it on the command line.
        command: The whole command.
        seed: Its seed.
        epochs: Number of trained epochs.
        date: Day, such as 2026-11-21.
        machine: Processor or GPU, in words.
        commit: Commit of this package.
        log: The log, relative to the folder of results.
        data: The data set that it was trained and tested on, such as "EventDigits".
        network: The network in words, such as "vggsnn, width 0.25".
        time_steps: Its time steps. It is 0, and the two above are empty, if they were not recorded.
        weight_bytes: Bytes of all its parameters as the paper counts them; 0: not recorded.
        state_bytes: Bytes of its stored membranes for one sample; 0: not recorded.

    Raises:
        DataError: If there is no such cell, or a value is invalid.

    Example:
        >>> Result("qsnn", "1", "no such row", "accuracy", 95.0, "%", "r.yaml", (), "c", 1, 1,
        ...     "2026-11-21", "EPYC", "77a97f2", "x.log")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.DataError: qsnn, table 1, has no row 'no such row'
    """

    paper: str
    table: str
    row: str
    column: str
    value: float
    unit: str
    recipe: str
    overrides: tuple[str, ...]
    command: str
    seed: int
    epochs: int
    date: str
    machine: str
    commit: str
    log: str
    data: str = ""
    network: str = ""
    time_steps: int = 0
    weight_bytes: int = 0
    state_bytes: int = 0

    def __post_init__(self) -> None:
        for part in fields(self):
            value, wanted = getattr(self, part.name), _TYPES[str(part.type)]
            if not isinstance(value, wanted) or isinstance(value, bool):  # type: ignore[arg-type]
                raise DataError(f"{part.name} is {value!r}: give {part.type}")
        object.__setattr__(self, "overrides", tuple(self.overrides))
        if not all(isinstance(word, str) for word in self.overrides):
            raise DataError(f"overrides are {list(self.overrides)}: give words")
        if not isfinite(self.value) or (self.unit == "%" and not 0 <= self.value <= 100):
            raise DataError(f"value is {self.value}: give a number that was measured")
        for name in ("seed", "epochs", "time_steps", "weight_bytes", "state_bytes"):
            if getattr(self, name) < 0:
                raise DataError(f"{name} is {getattr(self, name)}: give an integer from 0")
        if not _COMMIT.fullmatch(self.commit):
            raise DataError(f"commit is {self.commit!r}: give 7 to 40 hexadecimal digits")
        if not _is_day(self.date):
            raise DataError(f"date is {self.date!r}: give year-month-day")
        self._check_cell()

    @property
    def cell(self) -> CellKey:
        """Paper, table, row and column."""
        return self.paper, self.table, self.row, self.column

    @property
    def changes(self) -> tuple[str, ...]:
        """Words beyond those of the row: what makes the run another one."""
        row = load_paper(self.paper).tables[self.table].rows[self.row].overrides
        words = self.overrides
        for start in range(len(words) - len(row) + 1):
            if words[start : start + len(row)] == row:
                return words[:start] + words[start + len(row) :]
        return words

    def _check_cell(self) -> None:
        try:
            tables = load_paper(self.paper).tables
        except ArgumentError as error:
            raise DataError(str(error)) from error
        if self.table not in tables:
            raise DataError(f"{self.paper} has no table {self.table!r}")
        table, where = tables[self.table], f"{self.paper}, table {self.table},"
        if self.row not in table.rows:
            raise DataError(f"{where} has no row {self.row!r}")
        known = table.columns.get(self.column)
        if known is None or not known.measured_in(table.rows[self.row]):
            raise DataError(f"{where} has no measured column {self.column!r}")
        recipe = table.recipe(table.rows[self.row], known)
        if recipe not in (None, self.recipe):
            raise DataError(f"recipe is {self.recipe!r}: {where} row {self.row!r} has {recipe!r}")
        if self.unit != (unit := table.columns[self.column].unit):
            raise DataError(f"unit is {self.unit!r}: {where} column {self.column!r} has {unit!r}")


def load_results(folder: Path) -> list[Result]:
    """Read every JSON file of a folder.

    Args:
        folder: Such as docs/results; one that does not exist holds nothing.

    Returns:
        The results, by file name.

    Raises:
        DataError: If a file is not what it should be, or a log that it names is not there. If a run
            is recorded twice, since it would count twice.

    Example:
        >>> load_results(Path("nowhere"))
        []
    """
    files: dict[tuple[object, ...], Path] = {}
    results: list[Result] = []
    for path in sorted(folder.glob("*.json")):
        for result in read_results(path):
            run = (*result.cell, result.recipe, *result.overrides, result.seed)
            if run in files:
                raise DataError(
                    f"{path}: seed {result.seed} of {result.row!r} is in {files[run]} already"
                )
            files[run] = path
            results.append(result)
    return results


def by_cell(results: Iterable[Result]) -> dict[CellKey, list[Result]]:
    """Gather the results of each cell: those of its row's own words.

    A run on other data, of a smaller network or with fewer epochs is not a value of the cell.
    """
    gathered: dict[CellKey, list[Result]] = {}
    for result in results:
        if not result.changes:
            gathered.setdefault(result.cell, []).append(result)
    return gathered


def fitting_rows(names: Iterable[str], text: str) -> set[str]:
    """Return the names of rows that a text stands for, as all `--rows` read it.

    Args:
        names: Names of rows.
        text: The name of one, which stands for this row alone, or a part of some.

    Example:
        >>> fitting_rows(["float", "1-bit, from float"], "float")
        {'float'}
        >>> fitting_rows(["float", "1-bit, from float"], "from")
        {'1-bit, from float'}
    """
    names = set(names)
    return {text} if text in names else {name for name in names if text in name}


def read_results(path: Path) -> Iterable[Result]:
    """Read one JSON file; see `load_results`.

    Raises:
        DataError: If the file is not a list of results, or one of them is not complete.

    Example:
        >>> list(read_results(Path("no.json")))
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.DataError: no.json: [Errno 2] No such file or directory: 'no.json'
    """
    try:
        values = json.loads(path.read_text("utf-8"))
        for entry in values if isinstance(values, list) else [values]:
            result = _result(entry)
            is_beside = os.path.basename(result.log) == result.log
            if not (is_beside and os.path.isfile(path.parent / result.log)):
                raise DataError(f"there is no log {result.log!r} in the same folder")
            yield result
    # not JSON, not UTF-8, a number of 5,000 digits, brackets without end
    except (DataError, ValueError, OverflowError, OSError, RecursionError) as error:
        raise DataError(f"{path}: {error}") from error


def _is_day(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def _result(values: Any) -> Result:
    names = {part.name for part in fields(Result)}
    needed = {part.name for part in fields(Result) if part.default is MISSING}
    if not isinstance(values, dict):
        raise DataError(f"a result is {type(values).__name__}: give an object")
    if not needed <= set(values) <= names:
        lacking, unknown = sorted(needed - set(values)), sorted(set(values) - names)
        raise DataError(f"a result lacks {lacking} and has {unknown} too many")
    return Result(**values)
