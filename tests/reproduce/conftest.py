"""Cells, computed once per paper for the whole folder; a checkout and made-up trainings."""

import subprocess
from pathlib import Path

import pytest

from qsnn_plugins.reproduce import PAPERS, build_cells, load_paper, load_results, measure
from qsnn_plugins.reproduce import run as run_module
from qsnn_plugins.reproduce.run import Memory, Run, Setup

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


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit, as the current folder and as this package's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_module, "_ROOT", tmp_path)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("x")
    for words in (["init", "-q"], ["add", "file"], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], check=True)
    return tmp_path


@pytest.fixture
def trained(monkeypatch):
    """Put a made-up training in the place of the real one; it is right by its seed."""
    calls = []

    def call(self, *words):
        calls.append((words, self))
        name = "val_accuracy" if words[0] == "fit" else "test_accuracy"
        logs = self.folder / words[0]
        folder = logs / f"version_{len(list(logs.glob('*')))}"
        folder.mkdir(parents=True)
        lines = [f"epoch,step,{name}", f"0,1,{self.seed / 100}", f"1,2,{self.seed / 100}"]
        (folder / "metrics.csv").write_text("\n".join(lines))

    monkeypatch.setattr(Run, "_call", call)
    monkeypatch.setattr(measure, "model_memory", lambda words, _: Memory(1_000, 7, 2_000))
    monkeypatch.setattr(measure, "run_setup", lambda words: Setup("NMNIST", "decolle", len(words)))
    return calls
