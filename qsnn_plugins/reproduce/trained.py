"""The cells of the classification tables that need a training, with their commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from qsnn_plugins.reproduce.paper import TABLES, load_paper
from qsnn_plugins.reproduce.results import CellKey
from qsnn_plugins.reproduce.table import PaperTable, TableColumn, TableRow

__all__ = ["TrainedCell", "trained_cells"]

# An accuracy; where a row prints none, what it gains or loses against another row.
_UNITS = ("%", "points")
# Detection, and accuracies measured on an FPGA.
_NO_CLASSIFIER = {("imsnn", "VII"), ("spquant", "9"), ("bit_budget", "4")}


@dataclass(frozen=True)
class TrainedCell:
    """One cell that needs a training.

    Args:
        paper: Key of the paper.
        table: Number of the table.
        row: The row.
        column: The column.
        recipe: Recipe that trains it, or None.

    Example:
        >>> cell = next(cell for cell in trained_cells() if cell.recipe)
        >>> cell.command
        'lightning fit -c recipes/imsnn_resnet19_cifar10.yaml -c recipes/overlays/float.yaml'
    """

    paper: str
    table: str
    row: TableRow
    column: TableColumn
    recipe: str | None

    @property
    def command(self) -> str:
        """What trains it, or tests it; from the weights that the row it begins with has left."""
        words = ["-c", str(self.recipe), *self.row.overrides]
        if self.start is not None:
            checkpoint = f"{self._folder(self.start)}/checkpoints/last.ckpt"
            words += [f"--ckpt_path={checkpoint}", "--ckpt_changes=allow"]
        if _shares_folder(self.row) and any(
            row.start == self.row.row for row in self.rows.values()
        ):
            words.append(f"--trainer.default_root_dir={self._folder(self.row)}")
        return f"lightning {'fit' if self.row.trains else 'test'} {' '.join(words)}"

    def _folder(self, row: TableRow) -> str:
        """Where a row that others begin with is trained."""
        files = [self.recipe, *(word for word in row.overrides if word.endswith(".yaml"))]
        run = "+".join(Path(str(file)).stem for file in files)
        options = [word.rpartition(".")[2] for word in row.overrides if word.startswith("--")]
        return f"runs/{'+'.join([run, *options])}"

    @property
    def rows(self) -> Mapping[str, TableRow]:
        """The rows of its table by name."""
        return load_paper(self.paper).tables[self.table].rows

    @property
    def start(self) -> TableRow | None:
        """The row whose trained weights it begins with."""
        return self.rows[self.row.start] if self.row.start else None

    @property
    def printed(self) -> str:
        """What is printed, with its unit and the row's note."""
        value, note = self.row.printed[self.column.name], self.row.notes.get(self.column.name, "")
        unit = "%" if self.column.unit == "%" else f"{self.column.unit} ({self.column.title})"
        return "; ".join(part for part in (value and f"{value} {unit}", note) if part)

    @property
    def key(self) -> CellKey:
        """As `Result.cell`."""
        return self.paper, self.table, self.row.row, self.column.name

    @property
    def without(self) -> str:
        """Why no recipe trains it; empty where one does, or where a reason is lacking."""
        if self.recipe:
            return ""
        return self.row.without_recipe or ("" if self.row.own else "quoted from other work")


def _shares_folder(row: TableRow) -> bool:
    """Whether the folder of its files is that of other rows too, which have other options."""
    return any(word.startswith("--") for word in row.overrides)


def trained_cells(papers: Iterable[str] = TABLES) -> Iterator[TrainedCell]:
    """List the cells of the classification tables that need a training.

    Args:
        papers: Keys of papers, and "comparison".

    Example:
        >>> len({cell.table for cell in trained_cells(["qsnn"])})
        3
    """
    for paper in papers:
        for table in load_paper(paper).tables.values():
            if (paper, table.table) not in _NO_CLASSIFIER:
                yield from _cells(paper, table)


def _cells(paper: str, table: PaperTable) -> Iterator[TrainedCell]:
    measured = [column for column in table.columns.values() if column.measured is True]
    for row in table.rows.values():
        printed = [column for column in measured if column.name in row.printed]
        unit = next((u for u in _UNITS if any(column.unit == u for column in printed)), None)
        for column in printed:
            if column.unit == unit:
                yield TrainedCell(paper, table.table, row, column, table.recipe(row, column))
