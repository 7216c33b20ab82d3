"""The pages of docs/reproduction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from qsnn_plugins.reproduce.cell import Cell, Standing, count_standings
from qsnn_plugins.reproduce.layout import LEGEND, TableLayout, lay_out
from qsnn_plugins.reproduce.measured import (
    MEASURED_COLUMNS,
    MEASURED_NOTE,
    MEASURED_TITLE,
    measured_rows,
)
from qsnn_plugins.reproduce.paper import load_paper
from qsnn_plugins.reproduce.results import Result

__all__ = ["paper_page", "totals_page"]

_WRITTEN = (
    "<!-- written by `qsnn reproduce --write`; edit the tables' data, the rules or docs/results -->"
)


def paper_page(paper: str, cells: list[Cell], table: str | None = None) -> str:
    """Write one paper's page.

    Args:
        paper: Key of the paper.
        cells: Its cells.
        table: The only table, or None for all.

    Returns:
        Markdown.

    Example:
        >>> paper_page("qsnn", []).splitlines()[0]
        '# Q-SNNs: Quantized Spiking Neural Networks'
    """
    known = load_paper(paper)
    lines = [f"# {known.title}", "", _WRITTEN, "", *_totals({paper: cells}), "", LEGEND, ""]
    for layout in lay_out(known, cells, table):
        lines += _table(layout)
    return "\n".join(lines)


def totals_page(cells: Mapping[str, list[Cell]], results: Iterable[Result] = ()) -> str:
    """Write the page that leads to the papers' pages.

    Args:
        cells: Of each paper.
        results: What was measured.

    Returns:
        Markdown.

    Example:
        >>> totals_page({}).splitlines()[0]
        "# The papers' tables, computed and measured"
    """
    lines = [
        "# The papers' tables, computed and measured",
        "",
        _WRITTEN,
        "",
        "Each cell of each table has the printed value, the value that we compute from the network "
        "by a named rule or have measured, and a verdict. Numbers of cells:",
        "",
        *_totals(cells, linked=True),
        "",
        "`qsnn reproduce PAPER --table N` prints one table, `--json` its cells. Rules never use "
        "printed values: a test doubles all printed values, and the computed values do not change.",
        "",
        f"## {MEASURED_TITLE}",
        "",
        MEASURED_NOTE,
        "",
        *_rows(MEASURED_COLUMNS, measured_rows(results)),
        "",
    ]
    return "\n".join(lines)


def _totals(cells: Mapping[str, list[Cell]], linked: bool = False) -> Iterator[str]:
    yield "| | " + " | ".join(Standing) + " |"
    yield "|---|" + "---:|" * len(Standing)
    for paper, found in cells.items():
        name = f"[{load_paper(paper).title}]({paper}.md)" if linked else "cells that"
        yield f"| {name} | " + " | ".join(map(str, count_standings(found).values())) + " |"
    if len(cells) > 1:
        counts = count_standings(cell for found in cells.values() for cell in found)
        yield "| all | " + " | ".join(map(str, counts.values())) + " |"


def _table(layout: TableLayout) -> Iterator[str]:
    yield from (f"## {layout.title}", "", layout.description, "")
    if not layout.rows:
        return
    yield from _rows(layout.columns, layout.rows)
    yield ""
    for title, lines in (
        ("Reasons:", layout.reasons),
        ("Rules:", layout.rules),
        ("Networks:", layout.networks),
        ("Not computed:", layout.missing),
        ("Notes:", layout.notes),
    ):
        if lines:
            yield from (title, "", *(f"- {line}" for line in lines), "")


def _rows(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|---|" + "---:|" * (len(columns) - 1)
    yield from (f"| {' | '.join(row)} |" for row in rows)
