"""The detection recipes: their network, both hosts, overlays, and what predict writes."""

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml

from qsnn_plugins import presets
from qsnn_plugins.cli import lightning
from qsnn_plugins.cost import report
from qsnn_plugins.models import NETWORK_STRINGS, StringNet, parse_layers
from qsnn_plugins.reproduce.paper import load_paper
from tests.data.gen1_files import write_recording
from tests.recipes.configs import merged, spec_of

ROOT = Path(__file__).parents[2]
RECIPES = ["imsnn_yolov2_gen1", "spquant_yolov2_gen1"]
BRIEF = [
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2",
    "--trainer.limit_val_batches=1",
    "--trainer.limit_predict_batches=2",
    "--trainer.enable_progress_bar=false",
    "--data.init_args.batch_size=3",
    "--data.init_args.num_workers=0",
]


def config(recipe):
    return merged(f"recipes/{recipe}.yaml")


def run(monkeypatch, word, recipe, *more, overlays=("scenes",)):
    files = [
        ROOT / f"recipes/{recipe}.yaml",
        *(ROOT / f"recipes/overlays/{o}.yaml" for o in overlays),
    ]
    stacked = [part for file in files for part in ("-c", str(file))]
    monkeypatch.setattr(sys, "argv", ["lightning", word, *stacked, *BRIEF, *more])
    return lightning()


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_weights_take_what_is_printed(recipe):
    """IM-SNN Table VII: 103.46 MB in 32 bits and 12.93 MB in 4."""
    arguments = config(recipe)["model"]["init_args"]["network"]["init_args"]
    spec = presets.resolve(arguments.pop("spec"))
    with torch.device("meta"):
        network = StringNet(**arguments, spec=spec)
    cost = report(network, None, (5, 1, 2, *arguments["input_size"]))
    rows = [row for row in cost.parameters if row.role == "weights"]
    assert cost.count("weights") == 25_864_768
    assert f"{sum(row.float_bytes for row in rows) / 1e6:.2f}" == "103.46"
    assert f"{sum(row.bytes for row in rows) / 1e6:.2f}" == "12.93"
    named = NETWORK_STRINGS["yolov2_printed_size"]
    assert parse_layers(arguments["layers"]) == parse_layers(named.layers)
    assert tuple(arguments["input_size"]) == named.input_size
    assert network.out_channels == 576


@pytest.mark.parametrize(("paper", "table"), [("imsnn", "VII"), ("spquant", "9")])
def test_every_own_row_has_its_recipe(paper, table):
    own = [row for row in load_paper(paper).tables[table].rows.values() if row.own]
    assert len(own) == 2
    for row in own:
        merged_recipe = merged(row.recipe, row.overrides)
        assert merged_recipe["model"]["class_path"] == "SpikingDetector"
        spec = spec_of(merged_recipe)
        assert spec.weight.storage_bits == row.settings["weight_bits"]
        membranes = row.settings["membrane_bits"]
        assert spec.membrane.storage_bits == (2 if membranes in (1.5, 1.58) else membranes)
        assert spec.pruning.prunes == (row.settings["method"] == "SpQuant-SNN")


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipe_takes_the_scripts_values(recipe):
    values = config(recipe)
    model, data = values["model"]["init_args"], values["data"]["init_args"]
    assert values["trainer"]["max_epochs"] == 40
    assert (model["optimizer"]["init_args"]["lr"], data["batch_size"]) == (5e-4, 32)
    assert (model["iou_threshold"], model["most"]) == (0.6, 45)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("overlays", [("scenes", "float"), ("scenes", "pruned")])
def test_overlays_go_on_top(monkeypatch, tmp_path, overlays):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "fit", RECIPES[1], overlays=overlays) == 0
    (written,) = tmp_path.rglob("config.yaml")
    spec = yaml.safe_load(written.read_text())["model"]["init_args"]["network"]["init_args"]["spec"]
    if "float" in overlays:
        assert spec["membrane"]["kind"] == "float"
        assert spec["weight"]["kind"] is None  # nothing given: weights are float by default
    else:
        assert spec["pruning"]["spatial_ratio"] == 0.35


@pytest.mark.filterwarnings("ignore")
def test_the_other_host_trains_it_too(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    host = "--model.init_args.network.init_args.host=snntorch"
    assert run(monkeypatch, "fit", RECIPES[0], host) == 0


@pytest.mark.filterwarnings("ignore")
def test_predict_writes_boxes_and_pictures(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    more = (
        "--trainer.callbacks.init_args.pictures=2",
        "--trainer.callbacks.init_args.picture_format=gif",
    )
    assert run(monkeypatch, "predict", RECIPES[0], *more) == 0
    (found,) = tmp_path.rglob("found.json")
    assert isinstance(json.loads(found.read_text()), list)
    truth = json.loads(found.with_name("true.json").read_text())
    assert [category["name"] for category in truth["categories"]] == ["car", "pedestrian"]
    assert len(truth["images"]) == 6
    assert {path.name for path in found.parent.glob("*.gif")} == {"0000.gif", "0001.gif"}
    assert "boxes of 6 samples: " in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_gen1_itself_is_read_by_the_recipe(monkeypatch, tmp_path):
    """The whole command line over files of Gen1's shape, with a network of two layers."""
    monkeypatch.chdir(tmp_path)
    events = [(t // 100 % 304, t // 30_000, t, t // 100 % 2) for t in range(0, 3_000_000, 500)]
    boxes = [(t, 20, 30, 60, 40, t // 1_000_000 % 2) for t in (1_000_000, 2_000_000, 3_000_000)]
    for split in ("train", "val", "test"):
        write_recording(tmp_path / "data/Gen1" / split, "drive", events, boxes)
    layers = "--model.init_args.network.init_args.layers=4C3-AP32-FC576"
    assert run(monkeypatch, "fit", RECIPES[0], layers, overlays=()) == 0


def test_without_gen1_the_error_says_where_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    layers = "--model.init_args.network.init_args.layers=4C3-AP32-FC576"
    assert run(monkeypatch, "fit", RECIPES[0], layers, overlays=()) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: there are no recordings of Gen1 in ")
    assert "-c recipes/overlays/scenes.yaml" in error
