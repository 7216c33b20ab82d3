"""One run: how it is trained, tested and continued, and what it says of itself."""

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from qsnn_plugins.cli import qsnn
from qsnn_plugins.errors import DataError
from qsnn_plugins.reproduce import run as run_module
from qsnn_plugins.reproduce.run import Run, checkout_commit, model_memory, run_setup

DECOLLE = "recipes/sigmoid_quantizer_decolle_nmnist.yaml"
ROOT = Path(__file__).parents[2]


def test_a_folder_without_a_checkout_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(DataError, match=r"not a git checkout .*: fatal: "):
        checkout_commit()


@pytest.mark.parametrize("root", ["other", "."])
def test_the_commit_of_another_folder_is_refused(checkout, monkeypatch, root):
    """Of a user's own repository, and a part of the checkout, whose other parts may be changed."""
    for folder in ("other", "part"):
        (checkout / folder).mkdir()
    monkeypatch.setattr(run_module, "_ROOT", checkout / root)
    monkeypatch.chdir(checkout / "part")
    with pytest.raises(DataError, match=r"not the root of the checkout .* is in /"):
        checkout_commit()


def test_a_run_that_fails_names_its_log(checkout):
    run = Run(("-c", "recipes/absent.yaml"), 1, checkout / "run")
    with pytest.raises(DataError, match=r"fit ended with status 2, see .*fit\.log: error: there"):
        run.test()


def test_what_is_trained_is_tested_alone(checkout, trained):
    run = Run(("-c", DECOLLE), 90, checkout / "run")
    assert [run.test()["test_accuracy"] for _ in range(2)] == ["0.9", "0.9"]
    assert [words[0] for words, _ in trained] == ["fit", "test", "test"]


def test_a_run_that_was_cut_off_goes_on(checkout, trained):
    run = Run(("-c", DECOLLE), 90, checkout / "run")
    began = run.begin()
    (checkout / "file").write_text("y")  # what is changed now is no part of what began
    run.checkpoint.parent.mkdir()
    run.checkpoint.touch()
    assert run.test()["test_accuracy"] == "0.9"
    assert [words for words, _ in trained] == [
        ("fit", "--ckpt_path=last"),
        ("test", "--ckpt_path=last"),
    ]
    assert run.begin() == replace(began, trained=True)


def test_a_run_may_begin_with_the_weights_of_another(checkout, trained):
    float_run = Run(("-c", DECOLLE), 90, checkout / "float")
    run = Run(("-c", DECOLLE, "--x=1"), 90, checkout / "run", float_run)
    run.test()
    weights = (f"--ckpt_path={float_run.checkpoint}", "--ckpt_changes=allow")
    assert [words for words, _ in trained[:2]] == [("fit",), ("fit", *weights)]
    assert run.command.endswith(" ".join(weights))


def test_a_folder_of_another_run_is_refused(checkout, trained):
    Run(("-c", DECOLLE), 90, checkout / "run").begin()
    with pytest.raises(DataError, match=r"run holds another run: lightning fit .*--data\.seed=90"):
        Run(("-c", DECOLLE), 91, checkout / "run").test()
    (checkout / "run/run.json").write_text('{"commit": 1}')
    with pytest.raises(DataError, match=r"run\.json cannot be read"):
        Run(("-c", DECOLLE), 90, checkout / "run").test()


def test_the_parts_of_a_run_that_was_cut_off_are_read_together(tmp_path):
    for version, epochs in ((2, (0, 1)), (10, (1, 2))):
        folder = tmp_path / f"fit/version_{version}"
        folder.mkdir(parents=True)
        rows = [f"{epoch},{version},\n{epoch},,0.{epoch}{version}" for epoch in epochs]
        (folder / "metrics.csv").write_text("\n".join(["epoch,train_loss,val_accuracy", *rows]))
    run = Run((), 1, tmp_path)
    assert [(row["epoch"], row["train_loss"], row["val_accuracy"]) for row in run.metrics()] == [
        ("0", "2", "0.02"),
        ("1", "10", "0.110"),
        ("2", "10", "0.210"),
    ]
    assert run.epochs == 3


@pytest.fixture
def in_process(monkeypatch, capsys):
    """Makes commands run in the test's process, which has imported what they need."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["qsnn", *words])
        with suppress(SystemExit):
            assert qsnn() == 0
        return capsys.readouterr().out

    return lambda: monkeypatch.setattr(run_module, "_qsnn", call)


@pytest.mark.slow
def test_the_model_size_is_the_papers(monkeypatch, in_process):
    monkeypatch.chdir(ROOT)
    words = ("-c", "recipes/sigmoid_quantizer_plif_dvs128gesture.yaml")
    size = model_memory(words, "sigmoid_quantizer").total
    assert f"{size / 2**20:.2f}" == "0.21"  # printed, Table III
    in_process()
    size = model_memory((*words, "-c", "recipes/overlays/float.yaml"), "sigmoid_quantizer").total
    assert f"{size / 2**20:.2f}" == "6.48"


@pytest.mark.slow
def test_what_a_run_trains_on_what(monkeypatch, in_process):
    monkeypatch.chdir(ROOT)
    with pytest.raises(DataError, match=r"fit -c absent.yaml --print_config: error: "):
        run_setup(("-c", "absent.yaml"))
    words = ("-c", "recipes/qsnn_vggsnn_cifar10dvs.yaml", "-c", "recipes/overlays/embedded.yaml")
    assert run_setup(words) == ("EventDigits", "vggsnn, width 0.25", 6)
    in_process()
    assert run_setup(("-c", "recipes/imsnn_resnet19_cifar10.yaml")) == (
        *("CIFAR10", "ResidualNet 19", 2),
    )


def test_epochs_are_those_trained_not_those_validated(tmp_path):
    folder = tmp_path / "fit" / "version_0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("trainer: {max_epochs: 8}")
    run = Run(("-c", "a.yaml"), 42, tmp_path)
    for rows, epochs, share in (
        (["0,.5,", "3,.4,"], 4, 3 / 8),
        (["0,.5,", "4,.4,", "4,,.6"], 5, 5 / 8),
        (["0,.5,", "4,,.6", "7,.4,"], 8, 7 / 8),
    ):
        (folder / "metrics.csv").write_text("\n".join(["epoch,train_loss,val_accuracy", *rows]))
        assert (run.epochs, run.share_trained) == (epochs, share)


def test_a_run_without_a_logger_is_one_sentence(checkout, monkeypatch):
    monkeypatch.setattr(Run, "_call", lambda *_: None)
    run = Run(("-c", DECOLLE, "--trainer.logger=false"), 90, checkout / "run")
    with pytest.raises(DataError, match=r"logged nothing in .*run: leave the trainer its logger"):
        run.test()
    with pytest.raises(DataError, match="the training logged no epoch in "):
        _ = run.epochs
    assert run.share_trained == 0
