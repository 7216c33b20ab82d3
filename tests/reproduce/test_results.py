"""Measured results: what is complete is read, what is not is refused with one sentence."""

import json
from pathlib import Path

import pytest

from qsnn_plugins.errors import DataError
from qsnn_plugins.reproduce import Standing, Verdict, build_cells, load_paper, load_results
from qsnn_plugins.reproduce.comparison import Mean, comparison_tables, is_compared
from qsnn_plugins.reproduce.measured import measured_rows
from qsnn_plugins.reproduce.results import by_cell

RECORDED = Path(__file__).parents[2] / "docs/results"
ROW = "CIFAR-10, Q-SNN, ResNet19, 1w-2u"
GOOD = {
    "paper": "qsnn",
    "table": "1",
    "row": ROW,
    "column": "accuracy",
    "value": 95.1,
    "unit": "%",
    "recipe": "recipes/qsnn_resnet19_cifar10.yaml",
    "overrides": [],
    "command": "lightning fit -c recipes/qsnn_resnet19_cifar10.yaml",
    "seed": 1,
    "epochs": 300,
    "date": "2026-11-21",
    "machine": "one GPU",
    "commit": "77a97f2",
    "log": "qsnn.log",
}


@pytest.fixture
def folder(tmp_path):
    """A folder of results with one log, and a function that writes a file into it."""
    (tmp_path / "qsnn.log").touch()

    def write(values, name="qsnn.json"):
        (tmp_path / name).write_text(values if isinstance(values, str) else json.dumps(values))
        return tmp_path

    return write


def cell_of(results):
    cells = build_cells(load_paper("qsnn"), results, "1")
    return next(cell for cell in cells if cell.row == ROW)


def test_several_results_of_a_cell_are_averaged(folder):
    folder(GOOD, "a.json")
    results = load_results(folder([GOOD | {"value": 95.3, "seed": 2}], "b.json"))
    assert [result.seed for result in results] == [1, 2]
    cell = cell_of(results)
    assert cell.measured == pytest.approx(95.2)
    assert (cell.verdict, cell.computed) == (Verdict.AGREES, None)


def test_a_measured_difference_is_shown(folder):
    cell = cell_of(load_results(folder(GOOD)))
    assert (cell.verdict, cell.standing) == (Verdict.DIFFERS, Standing.UNEXPLAINED)
    assert cell.difference == pytest.approx(-0.1)


@pytest.mark.parametrize(
    "words", [["-c", "recipes/overlays/embedded.yaml"], ["--trainer.max_epochs=1"]]
)
def test_a_run_of_other_words_is_no_value_of_the_cell(words, folder):
    small = GOOD | {"overrides": words, "value": 50.0, "seed": 2}
    cell = cell_of(load_results(folder([small])))
    assert (cell.measured, cell.standing) == (None, Standing.UNMEASURED)
    assert cell_of(load_results(folder([small, GOOD]))).measured == GOOD["value"]


def test_what_was_measured_on_what(folder):
    setup = {"data": "EventDigits", "network": "vggsnn, width 0.25", "time_steps": 6}
    small = GOOD | setup | {"overrides": ["-c", "recipes/overlays/embedded.yaml", "--x=1"]}
    again = small | {"table": "fig5", "row": "Q-SNN with WS-DR, ResNet19, 1w-2u"}
    other = small | {"seed": 3, "date": "2026-11-22"}
    (row,) = measured_rows(load_results(folder([GOOD, small, again, other])))
    assert row[:4] == ("EventDigits", "vggsnn, width 0.25", "6", ROW)
    assert row[4:8] == ("95.10 ± 0.00", "300", "1, 3", "embedded.yaml --x=1")
    assert row[8] == "77a97f2, qsnn.log"
    unknown = {key: value for key, value in small.items() if key not in setup}
    (row,) = measured_rows(load_results(folder([unknown])))
    assert row[:3] == ("?", "?", "?")


def test_nothing_recorded_is_lost():
    """Every recorded value is in its cell, in a comparison, or in what was measured on what."""
    results = load_results(RECORDED)
    compared = [result for result in results if is_compared(result)]
    assert compared
    for key in {result.cell for result in compared}:
        of_row = [result.value for result in compared if result.cell == key]
        assert str(Mean.of(of_row)) in comparison_tables(compared)
    shown = {(row[8], value) for row in measured_rows(results) for value in row[6].split(", ")}
    for result in [result for result in results if result not in compared]:
        in_cell = any(result in found for found in by_cell([result]).values())
        key = f"{result.commit[:7]}, {result.log.removesuffix('.csv')}", str(result.seed)
        assert in_cell or key in shown
        assert in_cell == (not result.changes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"paper": "qsn"}, "paper='qsn' is not allowed"),
        ({"table": "9"}, "qsnn has no table '9'"),
        ({"row": "first"}, "has no row 'first'"),
        ({"column": "resnet19", "table": "2", "row": "batch 1, 1w-8u"}, "no measured column"),
        ({"unit": "1"}, "unit is '1'"),
        ({"value": "95.1"}, "value is '95.1': give float"),
        ({"seed": 1.5}, "seed is 1.5: give int"),
        ({"seed": True}, "seed is True"),
        ({"commit": "main"}, "commit is 'main'"),
        ({"date": "21.11.2026"}, "give year-month-day"),
        ({"date": "2026-13-01"}, "give year-month-day"),
        ({"log": "other.log"}, "there is no log 'other.log'"),
        ({"log": "/etc/passwd"}, "there is no log '/etc/passwd'"),
        ({"value": 100.5}, "value is 100.5"),
        ({"value": -0.5}, "value is -0.5"),
        ({"seed": -1}, "seed is -1"),
        ({"epochs": -1}, "epochs is -1"),
        ({"recipe": "recipes/nmnist_cpu.yaml"}, "has 'recipes/qsnn_resnet19_cifar10.yaml'"),
        ({"gpu": 1}, r"lacks \[\] and has \['gpu'\] too many"),
    ],
)
def test_a_bad_result_is_refused(change, sentence, folder):
    with pytest.raises(DataError, match=f"qsnn.json: .*{sentence}"):
        load_results(folder(GOOD | change))


def test_what_lacks_a_key_or_is_no_result_is_refused(folder):
    with pytest.raises(DataError, match=r"lacks \['seed'\]"):
        load_results(folder({key: value for key, value in GOOD.items() if key != "seed"}))
    with pytest.raises(DataError, match="a result is str: give an object"):
        load_results(folder('["95.2"]'))
    with pytest.raises(DataError, match=r"qsnn.json: Expecting value"):
        load_results(folder('{"seed": one}'))


def test_a_run_that_is_recorded_twice_is_refused(folder):
    folder(GOOD, "copy.json")
    with pytest.raises(DataError, match=r"qsnn\.json: seed 1 of '.*' is in .*copy\.json already"):
        load_results(folder(GOOD | {"commit": "1234567"}))
