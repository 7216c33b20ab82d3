"""`qsnn cost` on recipes: what it prints, in JSON, and the one sentence where it cannot."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.cost import _energies
from qsnn_plugins.cost import report
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.lightning import SpikingClassifier
from qsnn_plugins.models import StringNet
from qsnn_plugins.spec import PruningSpec, QuantSpec, WeightSpec

FILES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
# a recipe that says nothing of the model has the network of its base, for other data
RECIPES = [path for path in FILES if "model" in yaml.safe_load(path.read_text())]
RECIPE = """
model:
  class_path: SpikingClassifier
  init_args:
    network:
      class_path: StringNet
      init_args:
        layers: 4C3-AP2-8C3-GAP-FC10
        spec: {weight: {kind: uniform, bits: 3}}
data:
  class_path: EventDigits
  init_args: {time_steps: 4, size: 16, batch_size: 8}
"""
SPEC = QuantSpec(weight=WeightSpec("uniform", bits=3))


@pytest.fixture
def cost(tmp_path, qsnn):
    """Call `qsnn cost` in this interpreter, in a folder with a small recipe."""
    (tmp_path / "small.yaml").write_text(RECIPE)
    return partial(qsnn, "cost")


def small(spec=SPEC):
    return StringNet("4C3-AP2-8C3-GAP-FC10", spec=spec)


@pytest.fixture
def printed(cost, capsys):
    """Call it with `--json` and return what it printed."""

    def call(*words):
        assert cost("-c", "small.yaml", "--json", *words) == 0
        return json.loads(capsys.readouterr().out)

    return call


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_counted(recipe, cost, capsys):
    words = ["-c", str(recipe), "--json", "--rates", "0.1", "--full_precision"]
    data = Composition.of(["-c", str(recipe)]).config["data"]["init_args"]
    if isinstance(data.get("classes"), str):  # a list of classes in a file, which is not here
        words += ["--input_shape", "2,1,3,64,64"]
    assert cost(*words) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["recipe"] == recipe.stem
    assert values["operations"]["macs"] > 0
    assert isinstance(values["memory"]["total"], int)


def test_json_is_the_account_of_the_network(printed):
    values = printed("--rates", "0.2")
    expected = report(small(), None, (4, 1, 2, 16, 16), activity=0.2).to_dict()
    assert values == {"recipe": "small"} | json.loads(json.dumps(expected))
    stored = values["memory"]
    parts = [*stored["parameters"].values(), stored["membranes"], stored["spikes"]]
    assert all(isinstance(part, int) for part in parts)
    assert stored["total"] == sum(parts)


def test_the_table_has_every_layer_and_the_totals(cost, capsys):
    assert cost("-c", "small.yaml", "--rates", "0.2") == 0
    printed = capsys.readouterr().out
    for name in ("conv1.synapse.0", "conv1.neuron", "conv2.synapse.0", "fc1.1"):
        assert name in printed
    assert "Activity: given: 0.2 for every neuron" in printed
    total = report(small(), None, (4, 1, 2, 16, 16)).memory().total
    assert f"{total:,}" in printed


def test_nothing_is_assumed(printed, cost, capsys):
    values = printed()
    assert values["activity"] is None
    assert values["energy"]["picojoules"] is None
    assert values["operations"]["synaptic_operations"] is None
    assert cost("-c", "small.yaml") == 0
    assert "no activity was given or measured" in capsys.readouterr().out


def test_values_behind_the_recipe_and_overlays_count(printed):
    width = "--model.init_args.network.init_args.spec.weight.bits=8"
    Path("more.yaml").write_text("data: {init_args: {size: 24}}")
    wide = printed(width, "-c", "more.yaml")
    assert wide["recipe"] == "small+more"
    assert wide["memory"]["parameters"]["weights"] == 72 + 288 + 80
    assert printed()["memory"]["parameters"]["weights"] == 27 + 108 + 30
    assert wide["memory"]["membranes"] == (4 * 24 * 24 + 8 * 12 * 12) // 4


def test_with_a_shape_the_data_are_not_touched(printed):
    broken = ("--data.init_args.time_steps", "0")
    values = printed("--input_shape", "3,1,2,12,12", *broken)
    assert values["time_steps"] == 3
    assert values["neurons"][0]["count"] == 4 * 12 * 12


def test_noise_is_said_to_be_so(printed):
    values = printed("--noise")
    assert values["activity"].startswith("measured on one batch of noise")
    assert "untrained" in values["activity"]
    assert 0 <= values["neurons"][0]["rate"] <= 1


def test_a_checkpoint_is_run_on_the_data(printed):
    torch.manual_seed(1)
    network = small()
    model = SpikingClassifier(network)
    torch.nn.init.constant_(network.blocks.conv1.synapse[1].bias, 9.0)  # all of them fire
    torch.save({"state_dict": model.state_dict()}, "some.ckpt")
    values = printed("--ckpt_path", "some.ckpt", "--batches", "2")
    assert (
        values["activity"] == "measured on 16 evenly spaced test samples of EventDigits, some.ckpt"
    )
    assert values["neurons"][0]["rate"] == 1.0
    Path("runs/small/checkpoints").mkdir(parents=True)
    Path("some.ckpt").rename("runs/small/checkpoints/last.ckpt")
    assert printed("--ckpt_path", "last", "--batches", "1")["neurons"][0]["rate"] == 1.0


def test_pruned_shares_are_given_with_the_rates(printed):
    words = [
        f"--model.init_args.network.init_args.spec.pruning.{option}"
        for option in ("spatial_ratio=0.5", "channel_threshold=0.47")
    ]
    unknown = printed(*words, "--rates", "0.1")
    assert unknown["operations"]["remaining_macs"] is None
    values = printed(*words, "--rates", "0.1", "--spatial", "0.5", "--channel", "0.25")
    first, predictor, conv, *_ = values["synapses"]
    assert first["remaining_macs"] == first["total_macs"]
    assert predictor["kind"] == "predictor"
    assert conv["remaining_macs"] == conv["total_macs"] * 0.75
    pruned = PruningSpec(spatial_ratio=0.5, channel_threshold=0.47)
    network = small(QuantSpec(weight=SPEC.weight, pruning=pruned))
    assert values["operations"]["macs"] == report(network, None, (4, 1, 2, 16, 16)).macs


def test_an_energy_table_of_ones_own(printed):
    table = {
        "source": "my board",
        "int8": {"add": 1.0, "multiply": 0.0},
        "float32": {"add": 1.0, "multiply": 0.0},
    }
    Path("board.yaml").write_text(yaml.safe_dump(table))
    values = printed("--rates", "0.1", "--energy", "board.yaml")
    assert values["energy"]["source"] == "my board"
    assert values["energy"]["picojoules"] == pytest.approx(values["operations"]["accumulations"])


def test_ways_and_a_network_in_full_precision(printed):
    assert printed("--convention", "qsnn")["memory"]["spikes"] == 0
    network = "--model.init_args.network.init_args.spec"
    words = (f"{network}.weight.kind=float", f"{network}.membrane.kind=float", "--full_precision")
    assert printed(*words)["memory"]["parameters"]["weights"] == 440 * 4


def trained_otherwise(path):
    model = SpikingClassifier(small(QuantSpec(weight=WeightSpec("uniform", bits=5))))
    model.data_steps = 9
    torch.save({"state_dict": model.state_dict()}, path)


def test_a_change_may_be_meant(printed):
    trained_otherwise("steps.ckpt")
    words = ("--ckpt_path", "steps.ckpt", "--ckpt_changes", "allow", "--batches", "1")
    assert printed(*words)["memory"]["parameters"]["weights"] == 27 + 108 + 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"int4": {"add": 1, "multiply": 1}}, "has no option 'int4': it has source, int8 and"),
        ({"int8": {"add": "1", "multiply": 1}}, "a YAML file whose add is an energy in pJ"),
        ({"int8": [1, 2]}, "a YAML file with source, and add and multiply"),
    ],
)
def test_a_broken_energy_table_is_named(change, message, tmp_path):
    row = {"add": 1.0, "multiply": 2.0}
    table = {"source": "my board", "int8": row, "float32": row} | change
    file = tmp_path / "board.yaml"
    file.write_text(yaml.safe_dump(table))
    with pytest.raises(ArgumentError, match=message):
        _energies(str(file))


FLOAT = [
    f"--model.init_args.network.init_args.spec.{part}.kind=float" for part in ("weight", "membrane")
]
BAD = [
    (["--convention", "guess"], "--convention='guess' is not allowed: give one of chip, imsnn"),
    (["--energy", "guess"], "--energy='guess' is not allowed: give one of bitnet_7nm"),
    (["--energy", "small.yaml"], "--energy='small.yaml' is not allowed: give a YAML file"),
    (["--rates", "1.5"], "--rates=1.5 is not allowed: give a number from 0 to 1"),
    (["--rates", "often"], "qsnn cost: argument --rates: invalid float value"),
    (["--rates", "0.1", "--noise"], "qsnn cost: argument --noise: not allowed with"),
    (["--spatial", "0.1"], "--spatial=0.1 is not allowed: give it together with --rates"),
    (["--batches", "3"], "--batches=3 is not allowed: give it together with --ckpt_path"),
    (["--rates", ".1", "--batches", "-7"], "--batches=-7 is not allowed: give it together"),
    (["--energy", "bitnet_7nm"], "--energy='bitnet_7nm' is not allowed: give it together with"),
    (["--rates", ".1", "--spatial", ".5"], "--spatial=0.5 is not allowed: give it for a network"),
    (["--rates", ".1", "--channel", ".5"], "--channel=0.5 is not allowed: give it for a network"),
    (["--ckpt_path", "no.ckpt"], "--ckpt_path: there is no file 'no.ckpt'"),
    (["--ckpt_path", "last"], "there is no last checkpoint in runs/small"),
    (["--ckpt_path", "small.yaml"], "small.yaml cannot be read"),
    (["--ckpt_path", "other.ckpt"], "the checkpoint is not of this recipe's network"),
    (["--ckpt_path", "wide.ckpt"], "the checkpoint is not of this recipe's network: size mismatch"),
    (
        ["--ckpt_path", "steps.ckpt"],
        "the checkpoint was trained otherwise than this recipe says: time_steps is 9 in the state, "
        "4 here (SpikingClassifier); bits is 5 in the state, 3 here "
        "(network.blocks.conv1.synapse.0.weight and 2 more); `--ckpt_changes allow`",
    ),
    (["--input_shape", "4,x"], "--input_shape='4,x' is not allowed"),
    (
        ["--input_shape", "4,1,7,16,16", "--model.network.in_channels=2"],
        "--input_shape=[4, 1, 7, 16, 16] is not allowed",
    ),
    (
        ["--data.init_args.time_steps", "0"],
        "--data.init_args.time_steps: time_steps=0 is not allowed",
    ),
    (["-c", "god.yaml"], "there is no recipe god.yaml"),
    (["--foo", "3"], "unknown option --foo 3"),
    (FLOAT, "the network of small has no quantized weights or membranes"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD)
def test_one_sentence_where_it_cannot(words, sentence, cost, capsys):
    other = SpikingClassifier(StringNet("4C3-GAP-FC10"))
    torch.save({"state_dict": other.state_dict()}, "other.ckpt")
    trained_otherwise("steps.ckpt")
    wide = SpikingClassifier(StringNet("5C3-AP2-8C3-GAP-FC10", spec=SPEC))
    torch.save({"state_dict": wide.state_dict()}, "wide.ckpt")
    assert cost("-c", "small.yaml", *words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    *_, last = captured.err.splitlines()
    assert last.startswith(f"error: {sentence}")
    assert "Traceback" not in captured.err


def test_without_a_recipe(cost, capsys):
    assert cost() == 2
    assert "the recipe has no" in capsys.readouterr().err


def test_help(cost, capsys):
    with pytest.raises(SystemExit) as stop:
        cost("--help")
    assert stop.value.code == 0
    assert "--rates" in capsys.readouterr().out


def test_nothing_is_left_behind(cost, tmp_path):
    before = sorted(tmp_path.iterdir())
    assert cost("-c", "small.yaml", "--noise") == 0
    assert sorted(tmp_path.iterdir()) == before
