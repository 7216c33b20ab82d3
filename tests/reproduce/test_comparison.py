"""The tables of docs/results: paired gaps by hand, what is left out, the page as written."""

from dataclasses import replace
from pathlib import Path

import pytest

from qsnn_plugins.errors import DataError
from qsnn_plugins.reproduce import load_results
from qsnn_plugins.reproduce.comparison import Mean, comparison_tables, paired_gap, splice
from qsnn_plugins.reproduce.paper import load_paper
from qsnn_plugins.reproduce.results import Result

ROOT = Path(__file__).parents[2]


def run(row, value, seed=1, table="cifar10_cpu", column="accuracy", words=()):
    known = load_paper("comparison").tables[table].rows[row]
    overrides = (*known.overrides, *words)
    rest = ("command", seed, 1, "2026-11-28", "CPU", "77a97f2", "x.csv")
    made = Result("comparison", table, row, column, value, "%", known.recipe, overrides, *rest)
    return replace(made, weight_bytes=224_000, state_bytes=19_840)


def test_a_gap_is_the_mean_of_the_differences_with_their_standard_error():
    ours = {("1",): run("float", 84.0), ("2",): run("float", 87.0), ("9",): run("float", 1.0)}
    others = {("1",): run("float", 85.0), ("2",): run("float", 86.0), ("3",): run("float", 0.0)}
    # differences -1 and 1: deviation sqrt(2), over sqrt(2) runs
    assert paired_gap(ours, others) == Mean(0.0, pytest.approx(1.0), 2)
    assert paired_gap(ours, {}) is None


def test_methods_stand_beside_float():
    name = "IM-SNN, W4 U1.5"
    results = [
        *(run("float", value, seed) for seed, value in ((1, 86.0), (2, 85.0), (3, 50.0))),
        *(run(f"{name}, from float", value, seed) for seed, value in ((1, 85.5), (2, 84.0))),
        run(f"{name}, from float, masked", 80.0),
        run("clipped at -1.0", 86.25),
        run("32-bit, from scratch", 70.0, table="cifar10_scratch"),
        run(f"{name}, from scratch", 69.0, table="cifar10_scratch"),
    ]
    text = comparison_tables(results)
    note = "ResNet-19 in print: 0.45 points below float (IM-SNN, Table V)"
    assert f"| {name} | 224.0 | 19.8 | 84.75 ± 0.75 | -0.75 ± 0.25 | 2 | {note} |" in text
    assert "| float | 224.0 | 19.8 | 73.67 ± 11.84 |  | 3 |" in text
    assert f"| {name}, from float, masked | 80.00 | {name}, from float | -5.50 | 1 |" in text
    assert "| clipped at -1.0 | 86.25 | float | +0.25 | 1 |" in text
    assert "| 32-bit | 224.0 | 19.8 | 70.00 |  | 1 |" in text
    assert f"| {name} | 224.0 | 19.8 | 69.00 | -1.00 | 1 | {note} |" in text
    assert "Not measured yet: IM-SNN, W2 U1.5, from float; " in text
    by = "Measured by `qsnn measure -c recipes/cifar10_cpu.yaml`"
    assert f"{by}; seeds 1, 2, 3; commit 77a97f2; CPU. ±" in text


def test_methods_stand_beside_float_by_how_they_began():
    runs = (("32-bit", 95.0), ("1-bit", 86.0), ("1-bit, from float", 85.0))
    text = comparison_tables(run(row, value, table="nmnist_cpu") for row, value in runs)
    assert "| 32-bit | 224.0 | 19.8 | 95.00 |  | 95.00 |  | 1 |" in text
    assert "| 1-bit | 224.0 | 19.8 | 86.00 | -9.00 | 85.00 | -10.00 | 1 |" in text


def test_folds_are_paired_and_other_changes_left_out():
    folds = [("--data.fold=0",), ("--data.fold=1",)]
    table = {"table": "nmnist_cpu", "seed": 42}
    results = [
        *(run("32-bit", 90.0 + k, words=fold, **table) for k, fold in enumerate(folds)),
        *(run("1-bit", 89.0 + k, words=fold, **table) for k, fold in enumerate(folds)),
        run("1-bit", 10.0, words=("--trainer.max_epochs=1",), **table),
    ]
    text = comparison_tables(results)
    assert "| 1-bit | 224.0 | 19.8 | 89.50 ± 0.50 | -1.00 ± 0.00 | 2 |" in text
    assert "10.00" not in text


def test_each_column_has_its_table():
    results = [
        run(row, value, table="scenes", column=column)
        for row, value in (("32-bit", 44.0), ("IM-SNN, W4 U1.5", 38.0))
        for column in ("map", "ap50")
    ]
    text = comparison_tables(results)
    assert text.count("embedded scenes: mAP\n") == text.count("embedded scenes: AP50\n") == 1
    assert text.count("| 38.00 | -6.00 |") == 2


def test_the_page_is_what_the_records_say():
    written = (ROOT / "docs/results/README.md").read_text()
    tables = comparison_tables(load_results(ROOT / "docs/results"))
    assert written == splice(written, tables), "stale: run `qsnn reproduce --write`"


def test_a_page_without_marks_is_refused():
    with pytest.raises(DataError, match="no marks"):
        splice("page", "tables")
