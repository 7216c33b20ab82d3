"""Cells, computed once per paper for the whole folder."""

from pathlib import Path

import pytest

from qsnn_plugins.reproduce import PAPERS, build_cells, load_paper, load_results

ROOT = Path(__file__).parents[2]


class Cells(dict):
    """Cells of each paper, computed when they are asked for."""

    def __init__(self, results=()):
        super().__init__()
        self.results = results

    def __missing__(self, paper):
        self[paper] = build_cells(load_paper(paper), self.results)
        return self[paper]

    def of_all(self):
        return {paper: self[paper] for paper in PAPERS}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """The cells of all papers take 20 s: quick are the tests of Q-SNN's, which need 3."""
    for item in items:
        uses_cells = {"cells", "now"} & set(getattr(item, "fixturenames", ()))
        if Path(__file__).parent in item.path.parents and uses_cells and "qsnn" not in item.name:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def cells():
    """Cells without measured results."""
    return Cells()


@pytest.fixture(scope="session")
def now():
    """Cells with the recorded results."""
    return Cells(load_results(ROOT / "docs" / "results"))


@pytest.fixture(scope="session")
def find(cells):
    """The cells of a table, those of some columns and rows."""

    def call(paper, table, *columns, row=""):
        return [
            cell
            for cell in cells[paper]
            if cell.table == table and cell.column in columns and row in cell.row
        ]

    return call
