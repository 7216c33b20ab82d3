"""The record of measured runs: what others wrote stays, damaged files stop before a training."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from qsnn_plugins.reproduce import load_results, measure
from qsnn_plugins.reproduce import run as run_module
from qsnn_plugins.reproduce.record import Record
from qsnn_plugins.reproduce.run import Run

DECOLLE = "recipes/sigmoid_quantizer_decolle_nmnist.yaml"


def test_what_was_recorded_before_stays(checkout, trained):
    for rows, seeds in (("1-bit", "90"), ("4-bit", "90"), ("4-bit", "92"), ("4-bit", "92")):
        assert measure.main(["-c", DECOLLE, "--rows", rows, "--seeds", seeds]) == 0
    results = load_results(checkout / "docs/results")
    found = sorted({(result.row, result.seed) for result in results if result.table == "V"})
    row = "this work, "
    assert found == [(f"{row}1-bit", 90), (f"{row}4-bit", 90), (f"{row}4-bit", 92)]
    assert len(results) == len({(result.cell, result.seed) for result in results})
    with (checkout / "docs/results" / results[0].log).open() as file:
        assert len(list(csv.DictReader(file))) == 3 * 3


def test_two_at_once_keep_each_others_rows(checkout, trained, monkeypatch):
    """The second records a run between the first one's start and its record."""
    inner = ["-c", DECOLLE, "--rows", "4-bit", "--seeds", "92"]
    test = Run.test

    def overtaken(self):
        if self.seed == 90:
            assert measure.main(inner) == 0
        return test(self)

    monkeypatch.setattr(Run, "test", overtaken)
    assert measure.main(["-c", DECOLLE, "--rows", "1-bit", "--seeds", "90"]) == 0
    results = load_results(checkout / "docs/results")
    assert {(result.row[-5:], result.seed) for result in results} == {("1-bit", 90), ("4-bit", 92)}


@pytest.mark.slow
def test_records_of_two_processes_are_kept(checkout):
    """Each adds 20 runs, as fast as it can."""
    code = (
        "import sys\nfrom types import SimpleNamespace\n"
        "from qsnn_plugins.reproduce.record import Record\n"
        "for seed in range(20):\n"
        "    run = SimpleNamespace(words=('-c', 'x', sys.argv[1]), seed=seed, metrics=lambda: [])\n"
        "    Record('x').add(run, {'test_accuracy': 1.0}, [])"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, word]) for word in ("a", "b")]
    assert [process.wait() for process in running] == [0, 0]
    with (checkout / "docs/results/x.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 40


def test_a_record_that_cannot_be_read_stops_before_a_training(checkout, trained, capsys):
    (checkout / "docs/results").mkdir(parents=True)
    record = checkout / "docs/results/sigmoid_quantizer_decolle_nmnist.json"
    record.write_text("[{")
    assert measure.main(["-c", DECOLLE]) == 1
    assert record.name in capsys.readouterr().err
    assert not trained
    assert record.read_text() == "[{"


def test_results_are_written_after_every_run(checkout, trained, monkeypatch):
    seen = []
    monkeypatch.setattr(Record, "add", lambda self, run, tested, _: seen.append((run.seed, tested)))
    measure.main(["-c", DECOLLE, "--rows", "4-bit", "--seeds", "1", "2"])
    assert seen == [(1, {"test_accuracy": 0.01}), (2, {"test_accuracy": 0.02})]
    assert json.dumps(seen)
    assert run_module.machine_name()


def test_a_folder_of_results_that_cannot_be_written_stops_before_a_training(
    checkout, trained, capsys
):
    (checkout / "docs").write_text("a file")
    assert measure.main(["-c", DECOLLE]) == 1
    assert "folder of results='docs/results' is not allowed" in capsys.readouterr().err
    assert not trained


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_a_protected_record_stops_before_a_training(checkout, trained, capsys, suffix):
    one = ["-c", DECOLLE, "--rows", "N-MNIST, 8-bit", "--seeds", "90"]
    assert measure.main(one) == 0
    trained.clear()
    (checkout / "docs/results" / Path(DECOLLE).with_suffix(suffix).name).chmod(0o444)
    assert measure.main(one) == 1
    assert "(the file is write-protected)" in capsys.readouterr().err
    assert not trained


@pytest.mark.parametrize("log", ["words,seed\n1,2,3", "a,b\n1,2", 'words,seed\n"1', "\xff"])
def test_a_damaged_log_stops_before_a_training(checkout, trained, capsys, log):
    one = ["-c", DECOLLE, "--rows", "N-MNIST, 8-bit", "--seeds", "90"]
    assert measure.main(one) == 0
    trained.clear()
    (checkout / "docs/results" / Path(DECOLLE).with_suffix(".csv").name).write_text(log, "latin-1")
    assert measure.main(one) == 1
    assert ".csv cannot be read: " in capsys.readouterr().err
    assert not trained
