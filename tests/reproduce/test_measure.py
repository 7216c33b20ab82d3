"""Measuring the rows of a recipe: which runs there are, what is recorded, and what is refused."""

import csv
import signal
import subprocess
import sys
import threading
import time

import pytest

from qsnn_plugins.errors import DataError
from qsnn_plugins.reproduce import load_results, measure
from qsnn_plugins.reproduce import run as run_module
from qsnn_plugins.reproduce.measure import rows_of
from qsnn_plugins.reproduce.run import Run
from qsnn_plugins.stopping import Stopped

DECOLLE = "recipes/sigmoid_quantizer_decolle_nmnist.yaml"


def test_rows_of_the_same_words_are_run_once():
    rows = rows_of(DECOLLE)
    assert len(rows) == 5  # widths
    whole = {(cell.table, cell.row.row) for cell in rows[()]}
    assert whole == {
        ("III", "N-MNIST, this work, 1-bit"),
        ("V", "this work, 1-bit"),
        ("fig2", "N-MNIST, 1-bit"),
    }


def test_a_recipe_without_rows_is_one_sentence():
    with pytest.raises(DataError, match=r"no table row is trained by recipes/x\.yaml"):
        rows_of("recipes/x.yaml")
    with pytest.raises(DataError, match="no table row with '3-bit' in its name"):
        rows_of(DECOLLE, "3-bit")


def test_a_whole_name_stands_for_its_row_alone():
    (cells,) = rows_of("recipes/cifar10_cpu.yaml", "float").values()
    assert {cell.row.row for cell in cells} == {"float"}
    holding = rows_of("recipes/cifar10_cpu.yaml", "from float").values()
    assert len(holding) > 10
    assert all("from float" in c.row.row for cells in holding for c in cells)


def test_every_row_and_seed_is_recorded(checkout, trained, capsys):
    words = ["-c", DECOLLE, "-c", "recipes/overlays/small.yaml", "--trainer.max_epochs=2"]
    assert measure.main([*words, "--seeds", "90", "92", "94", "--jobs", "2"]) == 0
    assert len(trained) == 5 * 3 * 2
    results = load_results(checkout / "docs/results")
    assert len(results) == 3 * (2 + 3 + 5)
    first = results[0]
    assert first.changes == ("-c", "recipes/overlays/small.yaml", "--trainer.max_epochs=2")
    assert (first.value, first.seed, first.epochs) == (90.0, 90, 2)
    words = 7  # -c recipe -c small -c float --trainer
    assert (first.data, first.network, first.time_steps) == ("NMNIST", "decolle", words)
    assert (first.weight_bytes, first.state_bytes) == (1_000, 7)
    assert first.command == (
        f"lightning fit -c {DECOLLE} -c recipes/overlays/small.yaml -c recipes/overlays/float.yaml "
        "--trainer.max_epochs=2 --seed_everything=90 --data.seed=90"
    )
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert head.stdout.startswith(first.commit)
    with (checkout / "docs/results" / first.log).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * 3 * 3  # two epochs and a test
    assert rows[2]["test_accuracy"] == "0.9"
    printed = capsys.readouterr().out
    assert "N-MNIST, this work, 1-bit" in printed
    assert "92.00" in printed
    assert "2.00" in printed
    assert not list(checkout.rglob("*.part"))


def test_changes_that_are_not_committed_are_refused(checkout, trained, capsys):
    (checkout / "file").write_text("y")
    assert measure.main(["-c", DECOLLE]) == 1
    assert "error: there are uncommitted changes" in capsys.readouterr().err
    assert not trained


def test_earlier_results_need_not_be_committed(checkout, trained):
    one = ["-c", DECOLLE, "--rows", "N-MNIST, 4-bit"]
    assert measure.main([*one, "--seeds", "90"]) == 0
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "add", "docs"], check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "results"], check=True)
    assert measure.main([*one, "--seeds", "91"]) == 0
    assert measure.main([*one, "--seeds", "92"]) == 0
    assert [result.seed for result in load_results(checkout / "docs/results")] == [90, 91, 92]


def test_no_run_at_a_time_is_refused(checkout, trained, capsys):
    assert measure.main(["-c", DECOLLE, "--jobs", "0"]) == 1
    assert "--jobs=0 is not allowed: give a number of runs from 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["--ckpt_path", "a.ckpt"], "--ckpt_path='a.ckpt' is not allowed: give none: a row begins"),
        (["--data.seed=5"], "--data.seed='5' is not allowed: give --seeds"),
        (["--data.init_args.seed=5"], "--data.init_args.seed='5' is not allowed: give --seeds"),
    ],
)
def test_what_is_set_for_each_run_is_refused(checkout, trained, capsys, words, refused):
    """A checkpoint would be tested in the place of the one that was trained."""
    assert measure.main(["-c", DECOLLE, "--rows", "4-bit", "--seeds", "1", *words]) == 1
    assert refused in capsys.readouterr().err
    assert not trained


def test_rows_that_begin_with_float_weights_share_its_training(checkout, trained):
    words = ["-c", "recipes/cifar10_cpu.yaml", "--rows", "1-bit, from float"]
    assert measure.main([*words, "--seeds", "90", "--folder", str(checkout / "outside")]) == 0
    (float_run, fine_tuned) = [run for (word, *_), run in trained if word == "fit"]
    assert float_run.words == ("-c", "recipes/cifar10_cpu.yaml")
    assert fine_tuned.start == float_run
    assert float_run.folder.is_relative_to(checkout / "outside")
    (result,) = load_results(checkout / "docs/results")
    assert result.cell == (
        "comparison",
        "cifar10_cpu",
        "linear sigmoids, 1-bit, from float",
        "accuracy",
    )
    assert "--ckpt_changes=allow" in result.command


def test_what_rows_begin_with_is_trained_side_by_side(checkout, trained, monkeypatch):
    together = threading.Barrier(2, timeout=10)

    def call(self, *words, whole=Run._call):
        if self.start is None and words[0] == "fit":
            together.wait()
        whole(self, *words)

    monkeypatch.setattr(Run, "_call", call)
    words = ["-c", "recipes/cifar10_cpu.yaml", "--rows", "W4 U1.5, from float, masked"]
    assert measure.main([*words, "--seeds", "90", "91", "--jobs", "2"]) == 0
    done = sorted((run.seed, word) for (word, *_), run in trained)
    assert done == [(seed, word) for seed in (90, 91) for word in ("fit", "fit", "test")]


def test_a_run_that_fails_costs_no_other(checkout, trained, monkeypatch, capsys):
    def test(self, whole=Run.test):
        if self.seed == 2:
            raise DataError("no memory is left")
        return whole(self)

    monkeypatch.setattr(Run, "test", test)
    assert measure.main(["-c", DECOLLE, "--rows", "4-bit", "--seeds", "1", "2", "3"]) == 1
    said = capsys.readouterr().err
    assert "failed: no memory is left" in said
    assert "error: 1 of 3 runs failed and are not recorded: no memory is left" in said
    assert {result.seed for result in load_results(checkout / "docs/results")} == {1, 3}


def test_a_row_may_test_the_weights_of_another_without_training(checkout, trained):
    recipe = "recipes/imsnn_resnet19_cifar10.yaml"
    assert measure.main(["-c", recipe, "--rows", "clipped at -5.0", "--seeds", "90"]) == 0
    (fit, float_run), (test, clipped) = trained
    assert fit == ("fit",)
    assert float_run.words[2:] == ("-c", "recipes/overlays/float.yaml")
    assert test == ("test", f"--ckpt_path={float_run.checkpoint}", "--ckpt_changes=allow")
    assert "--model.network.spec.membrane.lower=-5" in clipped.words
    (result,) = load_results(checkout / "docs/results")
    assert (result.row, result.value, result.epochs) == ("clipped at -5.0", 90.0, 2)
    assert result.command.startswith(f"lightning test -c {recipe} -c recipes/overlays/clipped.yaml")


def test_a_detector_s_columns_are_what_its_test_logs(checkout, trained, monkeypatch):
    logged = {"test_map": "0.25", "test_ap50": "0.75"}
    monkeypatch.setattr(Run, "test", lambda self: Run.train(self) or logged)
    recipe = "recipes/imsnn_yolov2_gen1.yaml"
    assert measure.main(["-c", recipe, "--rows", "32-bit", "--seeds", "90"]) == 0
    found = {result.column: result.value for result in load_results(checkout / "docs/results")}
    assert found == {"map": 25.0, "ap50": 75.0}
    with (checkout / "docs/results/imsnn_yolov2_gen1.csv").open() as file:
        *_, last = csv.DictReader(file)
    assert {name: last[name] for name in logged} == logged


def test_a_row_may_begin_with_one_that_begins_with_another(checkout, trained):
    words = ["-c", "recipes/cifar10_cpu.yaml", "--rows", "W4 U1.5, from float, masked"]
    assert measure.main([*words, "--seeds", "90"]) == 0
    assert [word for (word, *_), _ in trained] == ["fit", "fit", "test"]
    float_run, fine_tuned, masked = (run for _, run in trained)
    assert (masked.start, fine_tuned.start, float_run.start) == (fine_tuned, float_run, None)


def test_a_signal_ends_the_run_and_keeps_others_from_beginning(tmp_path, monkeypatch):
    (tmp_path / "endless").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "endless").chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "endless"))
    begun = [Run(("-c", "a.yaml"), seed, tmp_path) for seed in range(3)]
    futures = []

    def stopped():
        with measure._pool(1) as pool:
            futures.extend(pool.submit(run._call, "fit") for run in begun)
            while not run_module._processes:
                time.sleep(0.01)
            raise Stopped(signal.SIGTERM)

    with pytest.raises(Stopped):
        stopped()
    assert "fit ended with status -15" in str(futures[0].exception())
    assert [future.cancelled() for future in futures] == [False, True, True]


def test_a_seed_that_is_given_twice_is_run_once(checkout, trained):
    words = ["-c", DECOLLE, "--rows", "4-bit", "--seeds", "90", "90", "--jobs", "2"]
    assert measure.main(words) == 0
    assert [words[0] for words, _ in trained] == ["fit", "test"]


def test_a_recipe_is_found_however_its_path_is_written(checkout, trained):
    for recipe, overlay in (
        (f"./{DECOLLE}", "recipes/../recipes/overlays/small.yaml"),
        (str(checkout / DECOLLE), str(checkout / "recipes/overlays/small.yaml")),
    ):
        words = ["-c", recipe, "-c", overlay, "--rows", "N-MNIST, 8-bit", "--seeds", "90"]
        assert measure.main(words) == 0
        (result,) = load_results(checkout / "docs/results")  # the same run: it replaces itself
        assert result.recipe == DECOLLE
        assert result.changes == ("-c", "recipes/overlays/small.yaml")


def test_a_recipe_of_differences_says_so():
    with pytest.raises(DataError, match=r"cifar100\.yaml trains print differences and no accuracy"):
        rows_of("recipes/spquant_resnet19_cifar100.yaml")


@pytest.mark.parametrize(
    ("logged", "said"),
    [
        ({"test_loss": "1"}, "the test logged no test_accuracy: it logged test_loss"),
        ({"test_accuracy": "nan"}, "value is nan: give a number that was measured"),
    ],
)
def test_a_run_that_cannot_be_recorded_costs_no_other(
    checkout, trained, monkeypatch, capsys, logged, said
):
    def test(self, whole=Run.test):
        return whole(self) if self.seed != 1 else Run.train(self) or logged

    monkeypatch.setattr(Run, "test", test)
    assert measure.main(["-c", DECOLLE, "--rows", "4-bit", "--seeds", "1", "2"]) == 1
    assert f"error: 1 of 2 runs failed and are not recorded: {said}" in capsys.readouterr().err
    assert {result.seed for result in load_results(checkout / "docs/results")} == {2}


def test_weights_that_cannot_be_trained_cost_no_row_without_them(
    checkout, trained, monkeypatch, capsys
):
    def train(self, whole=Run.train):
        if self.seed == 1 and self.start is None:
            trained.append((("failed",), self))
            raise DataError("it has diverged")
        whole(self)

    monkeypatch.setattr(Run, "train", train)
    words = ["-c", "recipes/cifar10_cpu.yaml", "--rows", "IM-SNN, W4 U1.5, from", "--seeds"]
    assert measure.main([*words, "1", "2"]) == 1
    assert "error: 3 of 6 runs failed and are not recorded: it has div" in capsys.readouterr().err
    rows = [(result.row[17:], result.seed) for result in load_results(checkout / "docs/results")]
    assert len(rows) == 3
    assert {seed for _, seed in rows} == {2}
    assert sum(words == ("failed",) for words, _ in trained) == 2  # float, and the one from scratch
