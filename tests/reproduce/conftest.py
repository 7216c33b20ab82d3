"""All cells, computed once for the whole folder."""

import pytest

from qsnn_plugins.reproduce import PAPERS, build_cells, load_paper


@pytest.fixture(scope="session")
def cells():
    """Cells of each paper, without measured results."""
    return {paper: build_cells(load_paper(paper)) for paper in PAPERS}


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
