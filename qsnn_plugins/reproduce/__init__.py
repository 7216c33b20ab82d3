"""The papers' tables as data, and what is computed and measured beside what they print."""

from qsnn_plugins.reproduce.paper import (
    PAPERS,
    Paper,
    PaperTable,
    TableColumn,
    TableRow,
    load_paper,
)

__all__ = ["PAPERS", "Paper", "PaperTable", "TableColumn", "TableRow", "load_paper"]
