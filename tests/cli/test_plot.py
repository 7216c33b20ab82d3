"""`qsnn plot` on a small recipe: its files, its numbers, and the one sentence where it cannot."""

import json
import logging
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch

from qsnn_plugins import cli
from qsnn_plugins.cli import plot as plot_command
from qsnn_plugins.cli import plot_curves, plot_networks, plot_results
from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.plot import FIGURES
from qsnn_plugins.functional import YoloGrid
from qsnn_plugins.lightning import SpikingClassifier, SpikingDetector
from qsnn_plugins.models import StringNet
from qsnn_plugins.plot import measure_negative, measure_rates, weight_distributions
from qsnn_plugins.reproduce import load_paper

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
def plot(tmp_path, monkeypatch):
    """Call `qsnn plot` in this interpreter, in a folder with a recipe and a checkpoint."""
    torch.manual_seed(0)
    (tmp_path / "small.yaml").write_text(RECIPE)
    model = SpikingClassifier(StringNet("4C3-AP2-8C3-GAP-FC10"))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "some.ckpt")
    (tmp_path / "detector.yaml").write_text(DETECTOR)
    detector = SpikingDetector(StringNet("4C3-GAP-FC28"), YoloGrid(2, 2, 1, 2))
    torch.save({"state_dict": detector.state_dict()}, tmp_path / "detector.ckpt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(logging, "raiseExceptions", False)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["qsnn", "plot", *words])
        return cli.qsnn()

    return call


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


def trained(time_steps=4):
    """The checkpoint's network, and the frames on which the command runs it, time-major."""
    from qsnn_plugins.data import EventDigits

    model = SpikingClassifier(StringNet("4C3-AP2-8C3-GAP-FC10"))
    model.load_state_dict(torch.load("some.ckpt", weights_only=True)["state_dict"])
    data = EventDigits(time_steps=time_steps, size=16, batch_size=8)
    data.prepare_data()
    data.setup("test")
    batches = [frames for frames, _ in data.test_dataloader()][:2]
    return model.network, [frames.transpose(0, 1).float() for frames in batches]


@pytest.mark.parametrize("figure", ["clipping", "negative", "distributions", "rates", "membranes"])
def test_a_figure_is_three_files(figure, plot, capsys):
    before = {path.name for path in Path().iterdir()}
    assert plot(figure, *GIVEN) == 0
    files = [Path("runs/figures", f"{figure}.{form}") for form in ("png", "svg", "pdf")]
    assert capsys.readouterr().out.split() == [str(file) for file in files]
    assert set(Path("runs/figures").iterdir()) == set(files)
    assert {path.name for path in Path().iterdir()} - before == {"runs"}


def test_the_same_command_gives_the_same_files(plot):
    for name in ("a", "b"):
        assert plot("negative", *GIVEN, "--out", f"here/{name}.2") == 0
    for form in ("png", "svg", "pdf"):
        assert Path(f"here/a.2.{form}").read_bytes() == Path(f"here/b.2.{form}").read_bytes()


def test_it_draws_the_checkpoint_on_the_test_data(drawn):
    (layers,) = drawn(plot_networks, "negative_figure", "negative", *GIVEN)
    assert layers == measure_negative(*trained())
    assert layers[0].share > 0


def test_bounds_are_those_given(drawn):
    words = ("--bounds", "-0.5", "0", *GIVEN)
    (layers,) = drawn(plot_networks, "clipping_figure", "clipping", *words)
    assert layers[0].bounds == (-0.5, 0.0)
    assert layers[0].below[1] > layers[0].below[0] > 0


def test_several_networks_with_labels_of_their_own(drawn):
    more = ("--and", "-c", "small.yaml", "--ckpt_path", "some.ckpt", "--data.time_steps=2")
    (rates,) = drawn(plot_networks, "rates_figure", "rates", *GIVEN, *more, "--label", "short")
    assert rates == {
        "S/T = 1/4": measure_rates(*trained()),
        "short": measure_rates(*trained(time_steps=2)),
    }


def test_distributions_are_of_the_trained_weights(drawn):
    weights, spikes = drawn(plot_networks, "distributions_figure", "distributions", *GIVEN)
    network, _ = trained()
    assert weights == {"small": weight_distributions(network)}
    assert [layer.name for layer in spikes["small"]] == [
        "blocks.conv1.neuron",
        "blocks.conv2.neuron",
    ]


def test_detectors_see_the_same_validation_scene(drawn):
    words = ("--scene", "2", *SCENE, "--label", "a", "--and", *SCENE, "--label", "b")
    scene, found, _ = drawn(plot_networks, "boxes_figure", "boxes", *words)
    from qsnn_plugins.data import EventScenes

    frames, target = EventScenes(time_steps=2, size=(24, 32), test_scenes=3).split("val")[2]
    assert torch.equal(scene.frame, frames[-1])
    assert torch.equal(scene.boxes, target["boxes"])
    model = SpikingDetector(StringNet("4C3-GAP-FC28"), YoloGrid(2, 2, 1, 2)).eval()
    model.load_state_dict(torch.load("detector.ckpt", weights_only=True)["state_dict"])
    with torch.no_grad():
        (expected,) = model.find(frames[None])
    assert list(found) == ["a", "b"]
    assert all(torch.equal(found["a"][i], expected[i]) for i in range(3))


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


@pytest.mark.slow
@pytest.mark.parametrize(("figure", "convention"), [("bits", None), ("tradeoff", "qsnn")])
def test_results_become_points(figure, convention, results, drawn):
    chosen = ("--convention", convention) if convention else ()
    words = (figure, *chosen, "-c", RESULT["recipe"])
    series, *counted = drawn(plot_results, f"{figure}_figure", *words)
    ((name, (two, eight)),) = series.items()
    assert name == "Q-SNN"
    assert (two.accuracies, eight.accuracies) == ((90.0, 92.0), (95.0,))
    assert (two.membrane_bits, eight.membrane_bits) == (2, 8)
    assert eight.memory > two.memory
    if convention:
        assert (two.label, eight.label) == ("1w-2u", "1w-8u")
        assert counted == ["memory as qsnn counts it"]
    assert Path(f"runs/figures/{figure}.svg").is_file()


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


def test_curves_are_of_runs_or_of_a_record(runs, drawn):
    words = ("curves", "a", "b/fit/version_0/metrics.csv", "--label", "both", "--and", "b")
    series, metrics = drawn(plot_curves, "curves_figure", *words)
    assert metrics == ["train_loss", "val_accuracy"]
    assert [run["val_accuracy"] for run in series["both"]] == [{0: 0.5}, {0: 0.7}]
    assert list(series) == ["both", "b"]
    series, metrics = drawn(plot_curves, "curves_figure", "curves", "runs.csv", "--out", "x.svg")
    assert {name: len(found) for name, found in series.items()} == {RESULT["row"]: 2, "other": 1}
    assert metrics == ["val_accuracy"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "curves is drawn from logged runs: give their folders"),
        (["no"], "there is no run no"),
        (
            ["a", "--ckpt_path", "x"],
            "curves is drawn from logged runs and does not use --ckpt_path",
        ),
        (["a", "--and", "a"], "two series are called 'a': give each a --label"),
        (["a", "--metrics", "val_map"], "--metrics='val_map' is not allowed: give one or more of"),
        (["a", "--rows", "x"], "--rows: a has none; a CSV of `qsnn measure` has"),
        (["runs.csv", "a"], "runs.csv holds runs of all seeds"),
        (["runs.csv", "--label", "x"], "--label names one series, and runs.csv has 2: give --rows"),
        (["runs.csv", "--rows", "x"], "runs.csv has no rows with 'x'; it has DVS-CIFAR10, Q-SNN"),
        (["a", *(f"--and b --label {i}" for i in range(7))], "--and: curves shows at most 7"),
    ],
)
def test_one_sentence_where_there_are_no_curves(words, sentence, runs, plot, capsys):
    assert plot("curves", *" ".join(words).split()) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {sentence}")


def point(method, row, place="net on data", label=None, **options):
    network = plot_results.MeasuredNetwork("", (90.0,), 2, 2, **options)
    return plot_results._Point(method, place, tuple(row.split(", ")), label, network)


def test_methods_are_series_and_what_differs_a_label():
    floating = point("float SNN", "DVS, VGG, 32w-32u", is_float=True)
    points = [floating, point("Q-SNN", "DVS, VGG, 1w-2u"), point("Q-SNN", "DVS, VGG, 1w-8u")]
    series = plot_results._methods(points)
    assert {name: [n.label for n in found] for name, found in series.items()} == {
        "float SNN": [""],
        "Q-SNN": ["1w-2u", "1w-8u"],
    }
    # the float network ends the line of each method, but does not join that of another network
    elsewhere = point("Q-SNN", "DVS, ResNet, 1w-2u", place="other on data")
    lines = plot_results._lines([*points, elsewhere])
    assert {name: len(found) for name, found in lines.items()} == {
        "net on data": 3,
        "other on data": 1,
    }
    lines = plot_results._lines([*points, point("B", "DVS, VGG, 1w-2u", label="ours")])
    assert {name: len(found) for name, found in lines.items()} == {"Q-SNN": 3, "ours": 1}


@pytest.mark.slow
def test_a_row_of_the_comparison_knows_how_it_began(plot, drawn):
    Path("recipes").symlink_to(ROOT / "recipes")
    Path("x.csv").touch()
    rows = load_paper("comparison").tables["cifar10_cpu"].rows
    chosen = ["float", "Q-SNN, 1w-2u, from float", "Q-SNN, 1w-2u, from scratch"]
    values = [
        RESULT
        | {"paper": "comparison", "table": "cifar10_cpu", "row": row, "log": "x.csv"}
        | {"recipe": "recipes/cifar10_cpu.yaml", "overrides": list(rows[row].overrides)}
        | {"seed": seed, "value": 90.0 + seed}
        for row in chosen
        for seed in (0, 1, 2)
    ]
    Path("some.json").write_text(json.dumps(values))
    series, counted = drawn(plot_results, "tradeoff_figure", "tradeoff", "some.json")
    (reference,), (tuned, scratch) = series["float"], series["Q-SNN"]
    assert (reference.is_float, tuned.is_float) == (True, False)
    assert (tuned.is_fine_tuned, scratch.is_fine_tuned) == (True, False)
    assert tuned.label == scratch.label == "1w-2u"
    assert tuned.memory == scratch.memory < reference.memory / 10
    assert tuned.accuracies == (90.0, 91.0, 92.0)
    assert counted == "weights and membranes"
    words = ("tradeoff", "some.json", "--rows", "scratch", "--label", "ours")
    series, _ = drawn(plot_results, "tradeoff_figure", *words)
    assert {name: len(found) for name, found in series.items()} == {"ours": 1}


@pytest.mark.slow
def test_a_front_is_of_one_data_set(results, plot, drawn, capsys):
    values = [RESULT | {"overrides": [], "value": 80.0}]
    Path("docs/results/other.json").write_text(json.dumps(values))
    assert plot("tradeoff") == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert "accuracies on CIFAR10DVS, EventDigits cannot be compared" in last
    words = ("-c", RESULT["recipe"], "-c", RESULT["overrides"][1])
    series, _ = drawn(plot_results, "tradeoff_figure", "tradeoff", *words)
    assert [network.accuracy for network in series["Q-SNN"]] == [91, 95]
    (series,) = drawn(plot_results, "bits_figure", "bits", *words, "--and", *words[:2])
    assert sorted(map(len, series.values())) == [1, 2]


@pytest.mark.slow
def test_memory_is_that_of_qsnn_cost(results, drawn, capsys, monkeypatch):
    series, _ = drawn(plot_results, "tradeoff_figure", "tradeoff")
    capsys.readouterr()
    words = ["-c", RESULT["recipe"], *RESULT["overrides"], "--json"]
    monkeypatch.setattr(sys, "argv", ["qsnn", "cost", *words])
    assert cli.qsnn() == 0
    memory = json.loads(capsys.readouterr().out)["memory"]
    assert next(iter(series.values()))[0].memory == memory["total"] - memory["spikes"]


def test_recorded_bytes_are_not_counted_anew(plot, drawn, monkeypatch):
    Path("recipes").symlink_to(ROOT / "recipes")
    Path("x.csv").touch()
    row = load_paper("comparison").tables["cifar10_cpu"].rows["float"]
    value = (
        RESULT
        | {"paper": "comparison", "table": "cifar10_cpu", "row": row.row, "log": "x.csv"}
        | {"recipe": "recipes/cifar10_cpu.yaml", "overrides": list(row.overrides)}
        | {"weight_bytes": 300, "state_bytes": 40}
    )
    folds = [[*row.overrides, f"--data.fold={fold}"] for fold in (0, 1)]
    Path("some.json").write_text(json.dumps([value | {"overrides": words} for words in folds]))
    monkeypatch.setattr(plot_results, "_counted", None)
    series, counted = drawn(plot_results, "tradeoff_figure", "tradeoff", "some.json")
    ((network,),) = series.values()
    assert (network.memory, counted) == (340, "weights and membranes")
    assert len(network.accuracies) == 2, "folds of one network"


@pytest.mark.parametrize(
    ("out", "sentence"),
    [
        ("a.jpg", "--out='a.jpg' is not allowed: give one of .png, .svg, .pdf, or no suffix"),
        (".", "--out='.' is not allowed: give the name of a file, not a folder"),
        ("runs.csv/x", "--out='runs.csv/x' is not allowed: give a path that can be written"),
    ],
)
def test_a_place_that_takes_no_figure_is_refused_at_once(
    out, sentence, runs, plot, capsys, monkeypatch
):
    monkeypatch.setattr(plot_curves, "draw_curves", None)
    assert plot("curves", "a", "--out", out) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {sentence}")


NETWORK = GIVEN[:4]
BAD = [
    ([], "qsnn plot: give a figure as the first word: membranes, clipping"),
    (["clip"], "qsnn plot has no figure 'clip'; did you mean 'clipping'?"),
    (["pie", *NETWORK], "qsnn plot has no figure 'pie'; the figures are membranes, clipping"),
    (
        ["negative", "-c", "small.yaml"],
        "negative needs trained networks: give a --ckpt_path for each",
    ),
    (["rates", *NETWORK, "--and", "-c", "small.yaml"], "rates needs trained networks: give a"),
    (["negative", *NETWORK, "--and", *NETWORK], "--and: negative shows one network"),
    (["rates", *NETWORK, *(("--and", *NETWORK) * 8)], "--and: rates shows at most 8"),
    (["rates", *NETWORK, "--and", *NETWORK], "two networks are called 'S/T = 1/4': give each"),
    (["negative", "-c", "small.yaml", "--ckpt_path", "no.ckpt"], "--ckpt_path: there is no file"),
    (["negative", "-c", "small.yaml", "--ckpt_path", "last"], "there is no last checkpoint in"),
    (["negative", "-c", "small.yaml", "--ckpt_path", "small.yaml"], "small.yaml cannot be read"),
    (["negative", "-c", "small.yaml", "--ckpt_path", "other.ckpt"], "the checkpoint is not of"),
    (["negative", "-c", "no.yaml", "--ckpt_path", "some.ckpt"], "there is no recipe no.yaml"),
    (["negative", *NETWORK, "--batches", "0"], "--batches=0 is not allowed"),
    (
        ["negative", *NETWORK, "--batches", "x"],
        "qsnn plot negative: argument --batches: invalid int value",
    ),
    (["negative", *NETWORK, "--data.time_steps=1"], "membranes.shape="),
    (["boxes", *NETWORK], "boxes needs a detector, and small is not one"),
    (["boxes", *SCENE, "--scene", "3"], "--scene=3 is not allowed: give an integer from 0 to 2"),
    (
        ["boxes", *SCENE, "--and", *SCENE, "--label", "b", "--data.seed=1"],
        "boxes: the networks see different scenes",
    ),
    (["negative", *NETWORK, "--foo", "3"], "unknown option --foo 3"),
    (["bits"], "there are no results in docs/results: `qsnn measure` makes them"),
    (
        ["bits", "--rows", "2-bit"],
        "there are no results with '2-bit' in their rows in docs/results",
    ),
    (["tradeoff", "-c", "small.yaml"], "there are no results of small.yaml in docs/results"),
    (
        ["tradeoff", "--convention", "guess"],
        "--convention='guess' is not allowed: give one of chip",
    ),
    (["negative", *NETWORK, "--layers", "fc*"], "--layers: no layer fits fc*; there are blocks."),
    (["negative", *NETWORK, "--bounds", "-1"], "--bounds: negative does not read it; clipping"),
    (["negative", *NETWORK, "--label", "a"], "--label: negative does not read it; distributions,"),
    (["rates", *NETWORK, "--scene=1"], "--scene: rates does not read it; boxes"),
    (["negative", *NETWORK, "--width", "wide"], "--width='wide' is not allowed: give inches from"),
    (["negative", *NETWORK, "--width", "99"], "--width='99' is not allowed: give inches from"),
    (
        ["bits", "small.yaml"],
        "small.yaml is not a JSON file of results; recipes need -c before them",
    ),
    (["bits", "no.json"], "there is no file of results no.json"),
    (["bits", *NETWORK], "bits is drawn from recorded results and does not use --ckpt_path"),
    (
        ["bits", "--and", *NETWORK],
        "bits is drawn from recorded results and does not use --ckpt_path",
    ),
    (
        ["bits", "--data.size=3"],
        "bits is drawn from recorded results and does not use --data.size=3",
    ),
]


@pytest.mark.parametrize(("words", "sentence"), BAD)
def test_one_sentence_where_it_cannot(words, sentence, plot, capsys):
    other = SpikingClassifier(StringNet("4C3-GAP-FC10"))
    torch.save({"state_dict": other.state_dict()}, "other.ckpt")
    assert plot(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    *_, last = captured.err.splitlines()
    assert last.startswith(f"error: {sentence}")
    assert "Traceback" not in captured.err
    assert not Path("runs").exists()


def test_a_broken_result_is_named(results, plot, capsys):
    Path("docs/results/bad.json").write_text("{")
    assert plot("bits") == 1
    assert "docs/results/bad.json" in capsys.readouterr().err


def test_layers_and_the_page_are_those_asked_for(drawn, plot):
    words = ("membranes", *GIVEN, "--layers", "*conv2*", "--out", "a.pdf", "--width", "ieee")
    (layers,) = drawn(plot_networks, "membranes_figure", *words, "--no_title")
    assert [layer.name for layer in layers] == ["blocks.conv2.neuron"]
    assert b"/Title" not in Path("a.pdf").read_bytes()
    assert float(re.search(rb"MediaBox \[ 0 0 ([\d.]+)", Path("a.pdf").read_bytes())[1]) == 252


@pytest.mark.parametrize("figure", FIGURES)
def test_each_figure_has_a_help_with_an_example(figure, plot, capsys):
    with pytest.raises(SystemExit) as stop:
        plot(figure, "--help")
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert f"example: qsnn plot {figure} " in printed
    assert all(f"  {option} " in printed for option in FIGURES[figure].options if option[0] == "-")


@pytest.mark.parametrize("figure", FIGURES)
def test_the_examples_fit_their_figures(figure):
    words = shlex.split(FIGURES[figure].example)
    _, rest = plot_command._parser(figure).parse_known_args(words)
    for part in plot_command._split(rest):
        own, others = plot_command._own_parser(figure).parse_known_args(part)
        files = [*Composition.of(others).files, *getattr(own, "results", [])]
        assert files or own.runs
        assert all((ROOT / file).is_file() for file in files)


def test_help_names_every_figure(plot, capsys):
    assert plot("--help") == 0
    printed = capsys.readouterr().out
    assert all(f"  {figure} " in printed for figure in FIGURES)
