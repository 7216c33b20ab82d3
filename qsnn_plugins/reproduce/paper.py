"""The papers' tables as data: what is printed, where, and with what a row was made.

One YAML file a paper lies in `tables/`. A printed value is a string, so that its digits are kept;
settings say how the row's network is quantized and run, and are what is counted with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import yaml

from qsnn_plugins.errors import ArgumentError, DataError
from qsnn_plugins.reproduce.digits import is_printed_number

__all__ = ["PAPERS", "Paper", "PaperTable", "TableColumn", "TableRow", "load_paper"]

PAPERS = ("imsnn", "spquant", "qsnn", "sigmoid_quantizer", "bit_budget")
REASONS = ("misprint", "another network", "another unit", "another rule", "rounding")

Setting = str | float | bool | None
_T = TypeVar("_T")


@dataclass(frozen=True)
class TableColumn:
    """One column of a table.

    Args:
        name: Its key, unique in the table.
        title: As the table has it.
        unit: Of the printed numbers.
        rules: Names of rules by group of rows; "all" is every other group.
        reasons: Why cells differ from what is computed, by group of rows.
        measured: Whether it takes a training, or hardware, to fill it.
        settings: What the column alone decides, such as its data set.
        network: Key of the network counted in this column of the authors' own rows, where it is
            not the row's.
        recipe: Recipe that trains the column's cells, where its data set decides and rows say none.

    Example:
        >>> TableColumn("accuracy", "Top-1", "%", measured=True).rule_for("own") is None
        True
    """

    name: str
    title: str
    unit: str
    rules: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    measured: bool = False
    settings: Mapping[str, Setting] = field(default_factory=dict)
    network: str | None = None
    recipe: str | None = None

    def __post_init__(self) -> None:
        for reason in self.reasons.values():
            _check_reason(self.name, reason)

    def rule_for(self, group: str | None) -> str | None:
        """Name of the rule of a group's cells."""
        return self.rules.get(group or "all", self.rules.get("all"))


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Args:
        row: Its name, unique in the table.
        settings: How the row's network is quantized and run: data set, method, architecture, bits,
            time steps, batch, as far as the table says.
        printed: Printed values by column, as strings; None where the print cannot be read or a
            figure has no number, and a note says so.
        own: Whether it is the authors' own result and not one they quote.
        group: Rows of one group share their rules.
        network: Key of the network that is counted, or None where we have none.
        baseline: Row of the same table that reductions refer to.
        reasons: Why single cells differ, by column.
        notes: What else a reader must know of a cell, by column.
        recipe: Recipe that trains the row, such as "recipes/qsnn_resnet19_cifar10.yaml".
        overrides: Words that follow `-c RECIPE` on the command line.
        without_recipe: Why no recipe trains an own row.

    Example:
        >>> TableRow("this work", {"weight_bits": 1}, {"accuracy": "95.20"}).printed["accuracy"]
        '95.20'
    """

    row: str
    settings: Mapping[str, Setting]
    printed: Mapping[str, str | None]
    own: bool = False
    group: str | None = None
    network: str | None = None
    baseline: str | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    without_recipe: str = ""

    def __post_init__(self) -> None:
        for column, value in self.printed.items():
            if value is None and column not in self.notes:
                raise DataError(f"row {self.row!r}: {column} is null, and no note says why")
            if value is not None and not is_printed_number(value):
                raise DataError(f"row {self.row!r}: {column} is {value!r}: give a quoted number")
        for column, reason in self.reasons.items():
            _check_reason(column, reason)
        if isinstance(self.overrides, str) or not all(isinstance(w, str) for w in self.overrides):
            raise DataError(
                f"row {self.row!r}: overrides is {self.overrides!r}: give a list of words"
            )
        object.__setattr__(self, "overrides", tuple(self.overrides))


@dataclass(frozen=True)
class PaperTable:
    """One table, or the numbers of one figure.

    Args:
        table: Its number as printed, "fig3" for a figure.
        caption: What it shows, in our words.
        place: Section in which it is discussed.
        columns: By name.
        rows: By name.
        page: Page of the paper, where our copy has page numbers.
        note: What a reader must know of the whole table.
        groups: Groups of rows that have rules of their own, and which rows they are.

    Example:
        >>> load_paper("qsnn").tables["1"].page
        6
    """

    table: str
    caption: str
    place: str
    columns: Mapping[str, TableColumn]
    rows: Mapping[str, TableRow]
    page: int | None = None
    note: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for column in self.columns.values():
            if unknown := {*column.rules, *column.reasons} - {*self.groups, "all"}:
                raise DataError(f"column {column.name!r}: there is no group {unknown.pop()!r}")
        for row in self.rows.values():
            if row.group is not None and row.group not in self.groups:
                raise DataError(f"row {row.row!r}: there is no group {row.group!r}")
            for part in (row.printed, row.reasons, row.notes):
                if unknown := set(part) - set(self.columns):
                    raise DataError(f"row {row.row!r}: there is no column {unknown.pop()!r}")
            if row.baseline is not None and row.baseline not in self.rows:
                raise DataError(f"row {row.row!r}: there is no baseline {row.baseline!r}")


@dataclass(frozen=True)
class Paper:
    """A paper's tables by their numbers.

    Args:
        paper: Its key, one of `PAPERS`.
        title: Its title.
        tables: By number.

    Example:
        >>> list(load_paper("bit_budget").tables)
        ['1', '2', '3', '4', '5']
    """

    paper: str
    title: str
    tables: Mapping[str, PaperTable]


@cache
def load_paper(paper: str) -> Paper:
    """Load a paper's tables.

    Args:
        paper: One of `PAPERS`.

    Returns:
        The paper.

    Raises:
        ArgumentError: If there is no such paper.
        DataError: If its file is not what it should be.

    Example:
        >>> table = load_paper("imsnn").tables["V"]
        >>> table.rows["CIFAR-10, this work, ResNet-19, W4 U1.5"].printed["accuracy"]
        '94.11'
    """
    if paper not in PAPERS:
        raise ArgumentError("paper", paper, f"one of {', '.join(PAPERS)}")
    name = f"{paper}.yaml"
    try:
        return _paper(yaml.safe_load((files(__package__) / "tables" / name).read_text("utf-8")))
    except (yaml.YAMLError, DataError) as error:
        raise DataError(f"{name}: {error}") from error


def _paper(values: dict[str, Any]) -> Paper:
    tables = [_table(table) for table in values.pop("tables")]
    return _build(Paper, {**values, "tables": _by_name(tables, "table")}, "the paper")


def _table(values: dict[str, Any]) -> PaperTable:
    where = f"table {values.get('table')}"
    columns = [
        _build(TableColumn, {"name": name, **column}, where)
        for name, column in values.pop("columns").items()
    ]
    rows = [_build(TableRow, row, where) for row in values.pop("rows")]
    parts = {"columns": _by_name(columns, "name"), "rows": _by_name(rows, "row")}
    return _build(PaperTable, {**values, **parts}, where)


def _build(kind: type[_T], values: dict[str, Any], where: str) -> _T:
    known = {part.name for part in fields(kind)}  # type: ignore[arg-type]
    if unknown := set(values) - known:
        raise DataError(f"{where}: {unknown.pop()!r} is not one of {', '.join(sorted(known))}")
    try:
        return kind(**values)
    except TypeError as error:
        raise DataError(f"{where}: {error}") from error
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _by_name(parts: list[_T], key: str) -> dict[str, _T]:
    named: dict[str, _T] = {}
    for part in parts:
        name = getattr(part, key)
        if name in named:
            raise DataError(f"{key} {name!r} stands twice")
        named[name] = part
    return named


def _check_reason(column: str, reason: str) -> None:
    if not reason.startswith(REASONS):
        raise DataError(f"{column}: a reason begins with one of {', '.join(REASONS)}")
