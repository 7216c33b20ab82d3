"""`qsnn plot` on a small recipe: its files, its numbers, and the one sentence where it cannot."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from qsnn_plugins.cli import plot as plot_command
from qsnn_plugins.cli import plot_networks
from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.plot import FIGURES
from qsnn_plugins.cli.samples import spaced_batches
from qsnn_plugins.functional import YoloGrid
from qsnn_plugins.lightning import SpikingClassifier, SpikingDetector
from qsnn_plugins.models import StringNet
from qsnn_plugins.plot import measure_negative, measure_rates, weight_distributions
from tests.cli.plotting import GIVEN, ROOT, SCENE


def trained(time_steps=4):
    """The checkpoint's network, and the frames on which the command runs it, time-major."""
    from qsnn_plugins.data import EventDigits

    model = SpikingClassifier(StringNet("4C3-AP2-8C3-GAP-FC10"))
    model.load_state_dict(torch.load("some.ckpt", weights_only=True)["state_dict"])
    data = EventDigits(time_steps=time_steps, size=16, batch_size=8)
    data.prepare_data()
    data.setup("test")
    batches = [frames for frames, _ in spaced_batches(data.test_dataloader(), 2)]
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
