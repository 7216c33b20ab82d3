"""A recipe small enough to train in a second, of classes that a user might have written."""

import logging
import subprocess
import sys

import pytest

from qsnn_plugins import cli
from tests.cli.plotting import drawn, plot, results, runs  # noqa: F401 (fixtures)

TINY = """
from dataclasses import dataclass
import os, signal
import torch
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from qsnn_plugins.errors import ArgumentError, DataError
from qsnn_plugins.spec import QuantSpec


@dataclass(frozen=True)
class Membrane:
    bits: int = 1


class Net(nn.Linear):
    def __init__(self, width: int = 3, time_steps: int = 4, membrane: Membrane | None = None):
        if time_steps < 1:
            raise ArgumentError("time_steps", time_steps, "a positive integer")
        super().__init__(4, width)


class SpecNet(nn.Linear):
    def __init__(self, spec: QuantSpec | None = None, quant: QuantSpec | None = None):
        super().__init__(4, 3)


class NoLogger(CSVLogger):
    def __init__(self):
        raise ModuleNotFoundError("there is no package no_logger: pip install it")


class TinyModel(LightningModule):
    def __init__(self, network: nn.Module, lr: float = 0.1, misfortune: str = "none"):
        super().__init__()
        self.network, self.lr, self.misfortune = network, lr, misfortune

    def training_step(self, batch, index):
        if self.misfortune == "data":
            raise DataError("a label is\\nout of range")
        if self.misfortune == "bug":
            raise KeyError("a bug")
        if self.misfortune == "without a word":
            raise RuntimeError
        if self.misfortune == "logged":
            self.log("loss", "a word")
        if self.misfortune == "killed peer" and self.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.misfortune.startswith("SIG") and self.current_epoch == 1:
            os.kill(os.getpid(), getattr(signal, self.misfortune))
        return self.network(batch[0]).square().sum()

    def test_step(self, batch, index):
        self.log("loss", self.network(batch[0]).square().sum())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)


class TinyData(LightningDataModule):
    def __init__(self, samples: int = 8):
        super().__init__()
        self.samples = samples

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.ones(self.samples, 4)), batch_size=4)

    test_dataloader = train_dataloader
"""

RECIPE = """
trainer:
  max_epochs: 2
  accelerator: cpu
  enable_progress_bar: false
  enable_model_summary: false
model:
  class_path: tiny.TinyModel
  init_args:
    network:
      class_path: tiny.Net
      init_args: {width: 3}
data:
  class_path: tiny.TinyData
"""

OURS = """
model:
  class_path: SpikingClassifier
  init_args:
    network: {class_path: StringNet, init_args: {layers: 4C3-GAP-FC10, spec: imsnn}}
    optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tiny.py").write_text(TINY)
    (tmp_path / "good.yaml").write_text(RECIPE)
    (tmp_path / "ours.yaml").write_text(OURS)
    return tmp_path


@pytest.fixture
def lightning(folder):
    """Call the `lightning` command as its console script does, in a folder with a recipe."""

    def call(*words):
        # a shell that runs the tests in the background has Ctrl-C ignored
        code = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "from qsnn_plugins.cli import lightning; sys.exit(lightning())"
        )
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )

    return call


@pytest.fixture
def here(folder, monkeypatch):
    """Call the `lightning` command in this interpreter, and give its exit status: ten times faster.

    For what ends before a trainer runs.
    """
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "tiny", raising=False)
    # Lightning's log still writes to the stream of the test that imported it, closed by now.
    monkeypatch.setattr(logging, "raiseExceptions", False)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["lightning", *words])
        return cli.lightning()

    return call


@pytest.fixture
def qsnn(tmp_path, monkeypatch):
    """Call a tool of `qsnn` in this interpreter, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(logging, "raiseExceptions", False)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["qsnn", *words])
        return cli.qsnn()

    return call


@pytest.fixture
def recipe(folder):
    """Write a recipe that differs from the good one in one place."""

    def write(old, new):
        assert old in RECIPE
        (folder / "bad.yaml").write_text(RECIPE.replace(old, new))
        return "bad.yaml"

    return write
