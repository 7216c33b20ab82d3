"""A recipe trains on either host, through the real command line."""

import sys
from pathlib import Path

import pytest

from qsnn_plugins.cli import lightning

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
def test_a_recipe_runs_on_the_host(host, monkeypatch, tmp_path):
    words = [
        "fit",
        *("-c", str(RECIPES / "spquant_vgg9.yaml")),
        *("-c", str(RECIPES / "overlays/embedded.yaml")),
        "--trainer.max_epochs=1",
        "--trainer.limit_train_batches=2",
        "--trainer.limit_val_batches=1",
        "--trainer.enable_progress_bar=false",
        "--data.init_args.batch_size=4",
        f"--model.init_args.network.init_args.host={host}",
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lightning", *words])
    assert lightning() == 0
    (config,) = tmp_path.rglob("config.yaml")
    assert f"host: {host}" in config.read_text()
