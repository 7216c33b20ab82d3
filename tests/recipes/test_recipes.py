"""Every recipe is found by a glob, built and trained for two batches through the command line."""

import sys
from pathlib import Path

import pytest
import yaml

from qsnn_plugins.cli import lightning

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.relative_to(ROOT) for path in (ROOT / "recipes").glob("*.yaml"))
BRIEF = [
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2",
    "--trainer.limit_val_batches=1",
    "--trainer.limit_test_batches=1",
    "--trainer.enable_progress_bar=false",
    "--data.init_args.batch_size=4",
]


def test_the_glob_finds_the_recipes():
    assert Path("recipes/spquant_vgg9.yaml") in RECIPES


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains_and_tests_on_embedded_data(recipe, monkeypatch, tmp_path, capsys):
    detects = "scenes.yaml" in (ROOT / recipe).read_text()
    overlay = f"recipes/overlays/{'scenes' if detects else 'embedded'}.yaml"
    files = ["-c", str(ROOT / recipe), "-c", str(ROOT / overlay)]
    monkeypatch.chdir(tmp_path)
    for words in (["fit", *files, *BRIEF], ["test", *files, *BRIEF, "--ckpt_path=last"]):
        monkeypatch.setattr(sys, "argv", ["lightning", *words])
        assert lightning() == 0
    closing = "test mAP (0.5:0.95): " if detects else "test accuracy: "
    assert closing in capsys.readouterr().out


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_what_it_is_and_how_to_run_it(recipe):
    text = (ROOT / recipe).read_text()
    header = text[: text.index("seed_everything")]
    for word in ("# Table:", "# Needs:", "# Command: lightning fit -c " + str(recipe)):
        assert word in header, word


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains_as_its_header_says(recipe):
    config = yaml.safe_load((ROOT / recipe).read_text())
    assert config["seed_everything"] == 42
    assert config["trainer"]["deterministic"] is True
