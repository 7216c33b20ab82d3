"""The papers' tables as data, and what is computed and measured beside what they print."""

from qsnn_plugins.reproduce.case import RULES, Case
from qsnn_plugins.reproduce.cell import Cell, Standing, Verdict, count_standings
from qsnn_plugins.reproduce.cells import build_cells
from qsnn_plugins.reproduce.networks import NETWORKS, CountedNetwork, count_network
from qsnn_plugins.reproduce.paper import PAPERS, Paper, load_paper
from qsnn_plugins.reproduce.results import Result, load_results
from qsnn_plugins.reproduce.specs import row_spec
from qsnn_plugins.reproduce.table import PaperTable, TableColumn, TableRow

__all__ = [
    "NETWORKS",
    "PAPERS",
    "RULES",
    "Case",
    "Cell",
    "CountedNetwork",
    "Paper",
    "PaperTable",
    "Result",
    "Standing",
    "TableColumn",
    "TableRow",
    "Verdict",
    "build_cells",
    "count_network",
    "count_standings",
    "load_paper",
    "load_results",
    "row_spec",
]
