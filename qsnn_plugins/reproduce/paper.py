"""The papers' tables as data: printed values, their places, and the settings of each row.

One YAML file per paper lies in `tables/`. A printed value is a string, so that its digits are kept;
settings say how the row's network is quantized and run, and are what is counted with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import yaml

from qsnn_plugins.errors import ArgumentError, DataError
from qsnn_plugins.reproduce.table import PaperTable, TableColumn, TableRow

__all__ = ["PAPERS", "TABLES", "Paper", "load_paper"]

PAPERS = ("imsnn", "spquant", "qsnn", "sigmoid_quantizer", "bit_budget")
TABLES = (*PAPERS, "comparison")  # the last: methods beside each other on one network, our own
_T = TypeVar("_T")


@dataclass(frozen=True)
class Paper:
    """A paper's tables by their numbers.

    Args:
        paper: Its key, one of `TABLES`.
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
        paper: One of `TABLES`.

    Returns:
        The paper.

    Raises:
        ArgumentError: If there is no such paper.
        DataError: If its file is invalid.

    Example:
        >>> table = load_paper("imsnn").tables["V"]
        >>> table.rows["CIFAR-10, this work, ResNet-19, W4 U1.5"].printed["accuracy"]
        '94.11'
    """
    if paper not in TABLES:
        raise ArgumentError("paper", paper, f"one of {', '.join(TABLES)}")
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
    except (TypeError, DataError) as error:
        raise DataError(f"{where}: {error}") from error


def _by_name(parts: list[_T], key: str) -> dict[str, _T]:
    named: dict[str, _T] = {}
    for part in parts:
        name = getattr(part, key)
        if name in named:
            raise DataError(f"{key} {name!r} stands twice")
        named[name] = part
    return named
