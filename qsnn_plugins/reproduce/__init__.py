"""The papers' tables as data, and what is computed and measured beside what they print."""

from qsnn_plugins.reproduce.paper import (
    PAPERS,
    Paper,
    PaperTable,
    TableColumn,
    TableRow,
    load_paper,
)
from qsnn_plugins.reproduce.results import Result, load_results

__all__ = [
    "PAPERS",
    "Paper",
    "PaperTable",
    "Result",
    "TableColumn",
    "TableRow",
    "load_paper",
    "load_results",
]
