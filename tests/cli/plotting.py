"""A folder with recipes, checkpoints, results and runs, for `qsnn plot`."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from qsnn_plugins.functional import YoloGrid
from qsnn_plugins.lightning import SpikingClassifier, SpikingDetector
from qsnn_plugins.models import StringNet

ROOT = Path(__file__).parents[2]
RECIPE = """
model:
  class_path: SpikingClassifier
  init_args:
    network:
      class_path: StringNet
      init_args:
        layers: 4C3-AP2-8C3-GAP-FC10
data:
  class_path: EventDigits
  init_args: {time_steps: 4, size: 16, batch_size: 8}
"""
GIVEN = ("-c", "small.yaml", "--ckpt_path", "some.ckpt", "--batches", "2")
DETECTOR = """
model:
  class_path: SpikingDetector
  init_args:
    network:
      class_path: StringNet
      init_args:
        layers: 4C3-GAP-FC28
    grid: {rows: 2, columns: 2, boxes: 1, classes: 2}
data:
  class_path: EventScenes
  init_args: {time_steps: 2, size: [24, 32], test_scenes: 3}
"""
SCENE = ("-c", "detector.yaml", "--ckpt_path", "detector.ckpt")
RESULT = {
    "paper": "qsnn",
    "table": "1",
    "row": "DVS-CIFAR10, Q-SNN, VGGSNN, 1w-2u",
    "column": "accuracy",
    "value": 90.0,
    "unit": "%",
    "recipe": "recipes/qsnn_vggsnn_cifar10dvs.yaml",
    "overrides": ["-c", "recipes/overlays/embedded.yaml"],
    "command": "c",
    "seed": 1,
    "epochs": 1,
    "date": "2026-11-21",
    "machine": "EPYC",
    "commit": "77a97f2",
    "log": "runs.csv",
}


@pytest.fixture
def plot(tmp_path, qsnn):
    """Call `qsnn plot` in this interpreter, in a folder with a recipe and a checkpoint."""
    torch.manual_seed(0)
    (tmp_path / "small.yaml").write_text(RECIPE)
    model = SpikingClassifier(StringNet("4C3-AP2-8C3-GAP-FC10"))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "some.ckpt")
    (tmp_path / "detector.yaml").write_text(DETECTOR)
    detector = SpikingDetector(StringNet("4C3-GAP-FC28"), YoloGrid(2, 2, 1, 2))
    torch.save({"state_dict": detector.state_dict()}, tmp_path / "detector.ckpt")
    return partial(qsnn, "plot")


@pytest.fixture
def drawn(plot, monkeypatch):
    """Call it, and return what went to the function that draws."""

    def call(module, function, *words):
        given, draw = [], getattr(module, function)
        monkeypatch.setattr(module, function, lambda *args: given.append(args) or draw(*args))
        assert plot(*words) == 0
        (args,) = given
        return args

    return call


@pytest.fixture
def results(plot, monkeypatch):
    """Put results of three rows into the folder, one of them with two seeds."""
    Path("recipes").symlink_to(ROOT / "recipes")
    Path("docs/results").mkdir(parents=True)
    Path("docs/results/runs.csv").touch()
    wide = ["-c", "recipes/overlays/membranes_8bit.yaml", *RESULT["overrides"]]
    eight = RESULT | {"row": RESULT["row"].replace("2u", "8u"), "overrides": wide}
    values = [RESULT, RESULT | {"seed": 2, "value": 92.0}, eight | {"value": 95.0}]
    Path("docs/results/some.json").write_text(json.dumps(values))


@pytest.fixture
def runs(plot):
    """Two runs as Lightning logs them, and the record of a row with two seeds."""
    for name, value in (("a", 0.5), ("b", 0.7)):
        Path(name, "fit", "version_0").mkdir(parents=True)
        text = f"epoch,step,train_loss,val_accuracy\n0,9,1.0,\n0,9,,{value}\n"
        Path(name, "fit", "version_0", "metrics.csv").write_text(text)
    words = " ".join(["-c", RESULT["recipe"], *RESULT["overrides"]])
    rows = f"{words},1,0,0.5\n{words},2,0,0.7\nother,1,0,0.1\n"
    Path("runs.csv").write_text("words,seed,epoch,val_accuracy\n" + rows)
    Path("runs.json").write_text(json.dumps(RESULT))
