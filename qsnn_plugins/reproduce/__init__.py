"""The papers' tables as data: printed, computed and measured values.

Names are imported on first use, so tables and results can be read without torch.
"""

# ruff: noqa: F401
from typing import TYPE_CHECKING

from qsnn_plugins.lazy import lazy_names

if TYPE_CHECKING:
    from qsnn_plugins.reproduce.case import Case
    from qsnn_plugins.reproduce.cell import Cell, Standing, Verdict, count_standings
    from qsnn_plugins.reproduce.cells import build_cells
    from qsnn_plugins.reproduce.networks import NETWORKS, CountedNetwork, count_network
    from qsnn_plugins.reproduce.paper import PAPERS, Paper, load_paper
    from qsnn_plugins.reproduce.results import Result, load_results, read_results
    from qsnn_plugins.reproduce.rules import RULES
    from qsnn_plugins.reproduce.specs import row_spec
    from qsnn_plugins.reproduce.table import PaperTable, TableColumn, TableRow

# the file of each name, for the interpreter; what stands above is for type checkers
_HOMES = {
    "NETWORKS": "networks",
    "PAPERS": "paper",
    "RULES": "rules",  # which fills them
    "Case": "case",
    "Cell": "cell",
    "CountedNetwork": "networks",
    "Paper": "paper",
    "PaperTable": "table",
    "Result": "results",
    "Standing": "cell",
    "TableColumn": "table",
    "TableRow": "table",
    "Verdict": "cell",
    "build_cells": "cells",
    "count_network": "networks",
    "count_standings": "cell",
    "load_paper": "paper",
    "load_results": "results",
    "read_results": "results",
    "row_spec": "specs",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
