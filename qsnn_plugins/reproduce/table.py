"""A table as data: what is printed, where, and with what a row was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qsnn_plugins.errors import DataError
from qsnn_plugins.reproduce.digits import is_printed_number

__all__ = ["PaperTable", "TableColumn", "TableRow", "table_name"]

REASONS = ("misprint", "another network", "another unit", "another rule", "rounding")

Setting = str | float | bool | None


@dataclass(frozen=True)
class TableColumn:
    """One column of a table.

    Args:
        name: Its key, unique in the table.
        title: As the table has it.
        unit: Of the printed numbers.
        rules: Names of rules by group of rows; "all" is every other group.
        reasons: Why cells differ from what is computed, by group of rows.
        measured: Whether it takes a training, or hardware, to fill it; the name of a setting where
            that is so in the rows that have it, such as "pruned".
        settings: What the column alone decides, such as its data set.
        network: Key of the network counted in this column of the authors' own rows, where it is
            not the row's.
        recipe: Recipe that trains the column's cells, where its data set decides and rows say none.
        metric: What `lightning test` logs as the column's value, a fraction.

    Example:
        >>> TableColumn("accuracy", "Top-1", "%", measured=True).rule_for("own") is None
        True
    """

    name: str
    title: str
    unit: str
    rules: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    measured: bool | str = False
    settings: Mapping[str, Setting] = field(default_factory=dict)
    network: str | None = None
    recipe: str | None = None
    metric: str = "test_accuracy"

    def __post_init__(self) -> None:
        for reason in self.reasons.values():
            _check_reason(self.name, reason)

    def rule_for(self, group: str | None) -> str | None:
        """Name of the rule of a group's cells."""
        return self.rules.get(group or "all", self.rules.get("all"))

    def measured_in(self, row: TableRow) -> bool:
        """Whether the row's cell is filled by measuring."""
        return self.measured is True or bool(self.measured and row.settings.get(self.measured))


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
        networks: Keys by column, where one column's value is that of another network.
        baseline: Row of the same table that reductions refer to.
        reasons: Why single cells differ, by column.
        notes: What else a reader must know of a cell, by column.
        recipe: Recipe that trains the row, such as "recipes/qsnn_resnet19_cifar10.yaml".
        overrides: Words that follow `-c RECIPE` on the command line.
        start: Row of the same table, with a recipe, whose trained weights it begins with.
        trains: Whether it trains them on; a row that does not only tests them.
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
    networks: Mapping[str, str] = field(default_factory=dict)
    baseline: str | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    start: str | None = None
    trains: bool = True
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
        >>> columns = {"accuracy": TableColumn("accuracy", "Top-1", "%")}
        >>> PaperTable("1", "Accuracy", "section 1", columns, {}, groups={"own": "own rows"}).page
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
            for part in (row.printed, row.reasons, row.notes, row.networks):
                if unknown := set(part) - set(self.columns):
                    raise DataError(f"row {row.row!r}: there is no column {unknown.pop()!r}")
            if row.baseline is not None and row.baseline not in self.rows:
                raise DataError(f"row {row.row!r}: there is no baseline {row.baseline!r}")
            if not row.trains and row.start is None:
                raise DataError(f"row {row.row!r}: it neither trains nor has a start")
            self._check_start(row)

    def _check_start(self, row: TableRow) -> None:
        seen, begins = [row.row], row.start
        while begins is not None:
            start = self.rows.get(begins)
            known = start is not None and start.trains and start.recipe == row.recipe
            if start is None or not known or begins in seen:
                raise DataError(f"row {row.row!r}: {begins!r} is not a row to begin with")
            seen.append(begins)
            begins = start.start

    def network(self, row: TableRow, column: TableColumn) -> str | None:
        """Key of the network that a cell is counted with."""
        own = column.network if row.own else None
        return row.networks.get(column.name) or own or row.network

    def recipe(self, row: TableRow, column: TableColumn) -> str | None:
        """Recipe that trains a cell."""
        # a quoted row joins a column's recipe by saying what it changes
        shared = column.recipe if row.own or row.overrides else None
        return None if row.without_recipe else row.recipe or shared


def _check_reason(column: str, reason: str) -> None:
    if not reason.startswith(REASONS):
        raise DataError(f"{column}: a reason begins with one of {', '.join(REASONS)}")


def table_name(table: str) -> str:
    """Name a table or a figure.

    Example:
        >>> table_name("fig3"), table_name("IV")
        ('Fig. 3', 'Table IV')
    """
    return f"Fig. {table.removeprefix('fig')}" if table.startswith("fig") else f"Table {table}"
