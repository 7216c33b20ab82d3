"""`qsnn reproduce`: the papers' tables, printed beside what is computed and measured.

What counts networks is imported when the words are known to be good.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.files import atomic_write
from qsnn_plugins.reproduce.cell import Cell, Standing, count_standings
from qsnn_plugins.reproduce.paper import PAPERS, Paper, load_paper
from qsnn_plugins.reproduce.results import RESULTS, Result, load_results

if TYPE_CHECKING:
    from rich.table import Table

    from qsnn_plugins.reproduce.layout import TableLayout

__all__ = ["Parser", "main"]

PAGES = Path("docs/reproduction")
_EPILOG = f"""
papers: {", ".join(PAPERS)}, and comparison, of networks of our own

examples:
  qsnn reproduce qsnn
  qsnn reproduce qsnn --table fig3 --json
"""
_STYLES = {
    Standing.AGREES: "green",
    Standing.EXPLAINED: "yellow",
    Standing.UNEXPLAINED: "red",
}


class Parser(ArgumentParser):
    """A parser whose refusals are errors of this package."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise QSNNError(f"{self.prog}: {message}")


def main(words: list[str]) -> int:
    """Print or write what was asked; 0 if done, 2 where it cannot be, with one sentence."""
    try:
        options = _parser().parse_args(words)
        papers = _papers(options)
        results = load_results(_folder(options.results))
        cells = _cells(papers, results, options.table)
        if options.json:
            print(_json(chain(*cells.values())))
        elif options.markdown:
            from qsnn_plugins.reproduce.markdown import paper_page

            pages = (paper_page(paper, found, options.table) for paper, found in cells.items())
            print("\n".join(pages), end="")
        elif options.write:
            _write(cells, results)
        else:
            of_one = [result for result in results if options.paper in (None, result.paper)]
            _print(cells, of_one, options.table)
    except QSNNError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _json(cells: Iterable[Cell]) -> str:
    plain = [asdict(cell) for cell in cells]
    for values in plain:
        del values["needs_measurement"]
    return json.dumps(plain, indent=2)


def _folder(given: Path | None) -> Path:
    """The folder of results; only the usual one need not be there."""
    if given is not None and not given.is_dir():
        raise ArgumentError("--results", str(given), "an existing folder")
    return given or RESULTS


def _papers(options: Namespace) -> dict[str, Paper]:
    papers = {key: load_paper(key) for key in ([options.paper] if options.paper else PAPERS)}
    if options.table is not None and not any(
        options.table in paper.tables for paper in papers.values()
    ):
        known = "; ".join(f"{key} has {', '.join(paper.tables)}" for key, paper in papers.items())
        raise ArgumentError("--table", options.table, f"one that is there: {known}")
    if options.write and options.table:
        raise ArgumentError("--table", options.table, "none with --write: pages are whole")
    if options.write and not PAGES.parent.is_dir():
        raise ArgumentError("folder", str(PAGES.parent), "an existing one: run this in a checkout")
    return {key: paper for key, paper in papers.items() if options.table in (None, *paper.tables)}


def _cells(
    papers: Mapping[str, Paper], results: list[Result], table: str | None
) -> dict[str, list[Cell]]:
    from qsnn_plugins.reproduce.cells import build_cells

    return {key: build_cells(paper, results, table) for key, paper in papers.items()}


def _write(cells: Mapping[str, list[Cell]], results: list[Result]) -> None:
    from qsnn_plugins.reproduce.comparison import comparison_tables, splice
    from qsnn_plugins.reproduce.markdown import paper_page, totals_page

    PAGES.mkdir(exist_ok=True)
    # the comparisons have their place in the page of results
    of_papers = {paper: found for paper, found in cells.items() if paper in PAPERS}
    pages = {PAGES / f"{paper}.md": paper_page(paper, found) for paper, found in of_papers.items()}
    if set(cells) == set(PAPERS):
        pages[PAGES / "README.md"] = totals_page(cells, results)
    if (path := RESULTS / "README.md").is_file():
        pages[path] = splice(path.read_text("utf-8"), comparison_tables(results))
    for path, page in pages.items():
        with atomic_write(path, "w") as file:
            file.write(page)
        print(path)


def _print(cells: Mapping[str, list[Cell]], results: list[Result], table: str | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from qsnn_plugins.reproduce.layout import LEGEND, lay_out
    from qsnn_plugins.reproduce.measured import (
        MEASURED_COLUMNS,
        MEASURED_NOTE,
        MEASURED_TITLE,
        measured_rows,
    )

    console = Console()
    for standing, count in count_standings(chain(*cells.values())).items():
        console.print(f"{count:5} cells {standing}", style=_STYLES.get(standing, "dim"))
    console.print(Text(f"\n{LEGEND}"))
    for paper, found in cells.items():
        known = load_paper(paper)
        console.print(f"\n[bold]{known.title}")
        for layout in lay_out(known, found, table):
            console.print(_table(layout) if layout.rows else Text(layout.title))
            console.print(Text(layout.description, "dim"))
            rules = (f"rule: {rule}" for rule in layout.rules)
            networks = (f"network: {network}" for network in layout.networks)
            notes = (f"note: {note}" for note in layout.notes)
            for line in chain(layout.reasons, rules, networks, layout.missing, notes):
                console.print(Text(line, "dim"))
    if table is None and (runs := measured_rows(results)):
        shown = Table(title=f"\n{MEASURED_TITLE}", title_justify="left", caption=MEASURED_NOTE)
        for column in MEASURED_COLUMNS:
            shown.add_column(column, overflow="fold")
        for run in runs:
            shown.add_row(*map(Text, run))
        console.print(shown)


def _table(layout: TableLayout) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=layout.title, title_justify="left")
    for place, column in enumerate(layout.columns):
        table.add_column(
            column, justify="right" if place else "left", overflow="ellipsis" if place else "fold"
        )
    for (name, *texts), standings in zip(layout.rows, layout.standings, strict=True):
        styles = (_STYLES.get(s, "") if s else "" for s in standings)
        table.add_row(Text(name), *(Text(t, s) for t, s in zip(texts, styles, strict=True)))
    return table


def _parser() -> ArgumentParser:
    parser = Parser(
        prog="qsnn reproduce",
        description="Print the papers' tables: each printed value beside the value that we compute "
        "or have measured.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("paper", nargs="?", metavar="PAPER", help="a single paper (default: all)")
    parser.add_argument("--table", metavar="N", help="a single table, such as V, 2 or fig3")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the cells as JSON")
    form.add_argument("--markdown", action="store_true", help="print Markdown, as in the docs")
    form.add_argument("--write", action="store_true", help=f"write the pages in {PAGES}")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help=f"folder with measured results (default: {RESULTS})",
    )
    return parser
