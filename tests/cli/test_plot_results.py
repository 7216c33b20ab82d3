"""`qsnn plot` of results and of runs: points, lines, memory, and what cannot be drawn."""

import json
import sys
from pathlib import Path

import pytest

from qsnn_plugins import cli
from qsnn_plugins.cli import chosen_results, plot_curves, plot_results
from qsnn_plugins.reproduce import load_paper
from qsnn_plugins.reproduce.measure import rows_of
from tests.cli.plotting import RESULT, ROOT


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
    ("name", "rows"),
    # the second was measured in folds
    [("cifar10_cpu", "float"), ("nmnist_cpu", "1-bit"), ("cifar10_cpu", "sigmoids")],
)
def test_rows_are_those_that_are_measured(name, rows, drawn):
    record = ROOT / f"docs/results/{name}.csv"
    measured = {
        cell.row.row for cells in rows_of(f"recipes/{name}.yaml", rows).values() for cell in cells
    }
    found = chosen_results._wanted([record.with_suffix(".json")], [], rows)
    assert {result.row for result in found} == measured
    series, _ = drawn(plot_curves, "curves_figure", "curves", str(record), "--rows", rows)
    assert len(series) == len(measured)


def test_a_row_that_was_trained_in_two_ways_has_two_curves(runs, drawn):
    longer = RESULT | {"overrides": [*RESULT["overrides"], "--trainer.max_epochs=2"]}
    Path("runs.json").write_text(json.dumps([RESULT, longer]))
    words = " ".join(["-c", longer["recipe"], *longer["overrides"]])
    with Path("runs.csv").open("a") as file:
        file.write(f"{words},1,0,0.9\n")
    chosen = ("curves", "runs.csv", "--rows", "Q-SNN")
    series, _ = drawn(plot_curves, "curves_figure", *chosen)
    assert {name: len(found) for name, found in series.items()} == {
        RESULT["row"]: 2,
        "--trainer.max_epochs=2": 1,
    }


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
    tables = load_paper("comparison").tables
    chosen = {
        "float": "cifar10_cpu",
        "Q-SNN, 1w-2u, from float": "cifar10_cpu",
        "Q-SNN, 1w-2u, from scratch": "cifar10_scratch",
    }
    values = [
        RESULT
        | {"paper": "comparison", "table": table, "row": row, "log": "x.csv"}
        | {"recipe": "recipes/cifar10_cpu.yaml"}
        | {"overrides": list(tables[table].rows[row].overrides)}
        | {"seed": seed, "value": 90.0 + seed, "commit": f"{seed}abcdef"}  # seeds at three commits
        for row, table in chosen.items()
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


def test_a_front_is_of_one_data_set(results, plot, drawn, capsys, monkeypatch):
    monkeypatch.setattr(plot_results, "_counted", lambda *_: (2.0, 100))  # other tests count
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


def test_a_broken_result_is_named(results, plot, capsys):
    Path("docs/results/bad.json").write_text("{")
    assert plot("bits") == 1
    assert "docs/results/bad.json" in capsys.readouterr().err


def test_a_detector_is_drawn_by_its_map(plot, drawn, capsys):
    Path("x.csv").touch()
    Path("recipes").symlink_to(ROOT / "recipes")
    row = load_paper("comparison").tables["scenes"].rows["32-bit"]
    value = (
        RESULT
        | {"paper": "comparison", "table": "scenes", "row": row.row, "log": "x.csv"}
        | {"recipe": row.recipe, "overrides": list(row.overrides)}
        | {"weight_bytes": 300, "state_bytes": 40}
    )
    columns = [{"column": "map", "value": 43.0}, {"column": "ap50", "value": 86.0}]
    Path("scenes.json").write_text(json.dumps([value | column for column in columns]))
    series, _ = drawn(plot_results, "tradeoff_figure", "tradeoff", "scenes.json")
    ((network,),) = series.values()
    assert (network.accuracies, network.metric) == ((43.0,), "mAP")
    Path("other.json").write_text(json.dumps(RESULT | {"log": "x.csv"}))
    assert plot("bits", "scenes.json", "other.json") == 2
    assert "error: mAP, accuracy cannot be compared" in capsys.readouterr().err
