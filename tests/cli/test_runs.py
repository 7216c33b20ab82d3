"""Where a run leaves its files, and how it is taken up again."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from qsnn_plugins.cli import training
from qsnn_plugins.errors import QSNNWarning


def test_a_run_has_its_folder(folder, here):
    (folder / "more.yaml").write_text("trainer: {max_epochs: 1}")
    assert here("fit", "-c", "good.yaml", "--config=more.yaml") == 0
    run = folder / "runs" / "good+more"
    assert (run / "checkpoints" / "last.ckpt").is_file()
    config = yaml.safe_load((run / "fit" / "version_0" / "config.yaml").read_text())
    assert config["trainer"]["max_epochs"] == 1
    assert config["trainer"]["default_root_dir"] == "runs/good+more"


def test_a_recipe_that_names_its_folder_and_logger_keeps_them(folder, here):
    words = ("--trainer.default_root_dir", "elsewhere", "--trainer.logger", "false")
    assert here("fit", "-c", "good.yaml", *words) == 0
    assert not (folder / "runs").exists()
    assert (folder / "elsewhere" / "checkpoints" / "last.ckpt").is_file()


def test_short_names_and_printed_config(here, capsys):
    with pytest.raises(SystemExit, match="0"):
        here("fit", "-c", "good.yaml", "--data", "EventDigits", "--print_config")
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["data"]["class_path"] == "qsnn_plugins.data.EventDigits"


def test_subcommand_help(here, capsys):
    with pytest.raises(SystemExit, match="0"):
        here("fit", "--help=all")
    assert "--trainer.max_epochs" in capsys.readouterr().out


def test_last_goes_on_and_is_tested(here, caplog, capsys):
    assert here("fit", "-c", "good.yaml") == 0
    more = ("--trainer.max_epochs", "5", "--ckpt_path", "last")
    with caplog.at_level("INFO", "lightning.pytorch"):
        assert here("fit", "-c", "good.yaml", *more) == 0
        assert here("test", "-c", "good.yaml", "--ckpt_path", "last") == 0
    assert "no last checkpoint" not in capsys.readouterr().err
    assert "Restored all states from the checkpoint" in caplog.text
    assert "Loaded model weights from the checkpoint" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("callback", "sentence"),
    [
        ("EarlyStopping, init_args: {monitor: acc}", "Early stopping conditioned on metric `acc`"),
        (
            "LearningRateMonitor",
            "Cannot use `LearningRateMonitor` callback with `Trainer` that",
        ),
        ("ModelCheckpoint, init_args: {monitor: acc}", "monitor='acc' is never logged"),
    ],
)
def test_what_a_callback_misses_is_one_sentence(callback, sentence, here, capsys):
    words = [f"--trainer.callbacks=[{{class_path: {callback}}}]", "--trainer.logger=false"]
    assert here("fit", "-c", "good.yaml", *words) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: ")
    assert sentence in last


@pytest.mark.slow
def test_nothing_depends_on_the_locale(folder, monkeypatch):
    """Recipes and pages with ± and × are read and printed where the locale is ASCII."""
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    commands = [
        ["recipes"],
        ["cost", "-c", "recipes/spquant_vgg9.yaml", "-c", "recipes/overlays/embedded.yaml"],
        ["fit", "-c", str(folder / "good.yaml"), "--print_config"],  # exits
    ]
    code = (
        "import sys; from qsnn_plugins import cli\n"
        f"for words in {commands}:\n"
        "    sys.argv = ['qsnn', *words]\n"
        "    assert cli.qsnn() == 0, words"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=environment | {"PYTHONPATH": str(folder)},
        capture_output=True,
    )
    assert process.returncode == 0, process.stderr
    assert b"tiny.TinyModel" in process.stdout, "the last one ran"


@pytest.mark.parametrize("limit", ["max_epochs", "max_steps", "limit_train_batches"])
def test_a_fit_that_trains_nothing_says_so(limit, here):
    with pytest.warns(QSNNWarning) as told:
        assert here("fit", "-c", "good.yaml", f"--trainer.{limit}=0") == 0
    ours = [str(warning.message) for warning in told if warning.category is QSNNWarning]
    assert ours == [f"nothing is trained: trainer.{limit} is 0"]


@pytest.mark.parametrize(
    ("word", "done", "limit"),
    [
        ("validate", "validated", "limit_val_batches"),
        ("test", "tested", "limit_test_batches"),
        ("predict", "predicted", "limit_predict_batches"),
    ],
)
def test_an_evaluation_of_nothing_says_so(word, done, limit, here):
    with pytest.warns(QSNNWarning) as told:
        # the recipe's data have a test split alone
        assert here(word, "-c", "good.yaml", f"--trainer.{limit}=0") == (0 if word == "test" else 2)
    ours = [str(warning.message) for warning in told if warning.category is QSNNWarning]
    assert ours == [f"nothing is {done}: trainer.{limit} is 0"]


def test_nothing_untrained_is_tested(here, capsys):
    assert here("test", "-c", "good.yaml", "--ckpt_path", "last") == 2
    assert "error: there is no last checkpoint in runs/good" in capsys.readouterr().err


def test_the_recipe_decides_and_a_checkpoint_brings_weights_only(here, capsys):
    """Another learning rate wins over the checkpoint's; another network is refused."""
    assert here("fit", "-c", "good.yaml") == 0
    path = "runs/good/checkpoints/last.ckpt"
    words = ("test", "-c", "good.yaml", "--ckpt_path", path)
    assert here(*words, "--model.lr", "0.5") == 0
    capsys.readouterr()
    assert here(*words, "--model.network.init_args.width", "7") == 2
    error = "error: the checkpoint is not of this recipe's network: size mismatch"
    assert error in capsys.readouterr().err


def test_nothing_is_unpickled_from_a_checkpoint(folder, here, capsys, monkeypatch):
    class Trap:
        def __reduce__(self):
            return open, (str(folder / "sprung"), "w")

    assert here("fit", "-c", "good.yaml") == 0
    path = folder / "runs" / "good" / "checkpoints" / "last.ckpt"
    torch.save(torch.load(path, weights_only=True) | {"extra": Trap()}, path)
    words = ("test", "-c", "good.yaml", "--ckpt_path", str(path))
    assert here(*words) == 2
    assert f"error: {path} contains Python objects" in capsys.readouterr().err
    assert not (folder / "sprung").exists()
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD")  # of the call before
    here(*words, "--weights_only", "false")
    assert (folder / "sprung").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("signal", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_stop_leaves_a_checkpoint_and_says_how_to_go_on(
    folder, lightning, here, caplog, signal, status
):
    process = lightning("fit", "-c", "good.yaml", "--model.misfortune", signal)
    assert process.returncode == status, process.stderr
    advice = process.stderr.splitlines()[-1]
    words = f"fit -c good.yaml --model.misfortune {signal} --ckpt_path last"
    assert advice == f"stopped; continue with: lightning {words}"
    checkpoint = torch.load(folder / "runs/good/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 3  # the first batch of the second epoch
    with caplog.at_level("INFO", "lightning.pytorch"):
        assert here("fit", "-c", "good.yaml", "--ckpt_path", "last") == 0
    assert "Restored all states from the checkpoint" in caplog.text


def test_going_on_takes_the_place_of_another_checkpoint(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "a b.yaml").write_text((folder / "good.yaml").read_text())
    changes = ["--ckpt_path", "a.ckpt", "--ckpt_changes", "allow"]
    for words in (changes, ["--ckpt_path=a.ckpt", "--ckpt_changes=allow"], changes[:2], []):
        advice = training._how_to_go_on(["fit", *words, "-c", "a b.yaml"])
        assert advice == "stopped; continue with: lightning fit -c 'a b.yaml' --ckpt_path last"
    (folder / "tuned.yaml").write_text("base: good.yaml\nckpt_changes: allow")
    advice = training._how_to_go_on(["fit", "-c", "tuned.yaml"])
    assert advice.endswith("fit -c tuned.yaml --ckpt_path last --ckpt_changes refuse")


def test_what_saved_nothing_is_begun_again(here, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    assert here("fit", "-c", "good.yaml") == 0  # whose checkpoint is not this run's
    monkeypatch.setattr(sys.modules["tiny"].TinyModel, "training_step", interrupt)
    assert here("fit", "-c", "good.yaml") == 130
    *_, advice = capsys.readouterr().err.splitlines()
    assert advice.endswith("a checkpoint was written; start with: lightning fit -c good.yaml")
    assert here("fit", "-c", "good.yaml", "--trainer.max_epochs=3", "--ckpt_path=last") == 130
    *_, advice = capsys.readouterr().err.splitlines()
    assert advice.endswith("--trainer.max_epochs=3 --ckpt_path last")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            OSError(28, "No space left on device", "metrics.csv"),
            "metrics.csv cannot be written: No",
        ),
        (OSError(30, "Read-only file system"), "the disk cannot be written: Read-only"),
        (
            PermissionError(13, "Permission denied", "/root/data"),
            "/root/data cannot be opened: Permission denied",
        ),
        (
            RuntimeError(
                "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] "
                "Connection closed by peer [127.0.0.1]:21863"
            ),
            "a process of this run was killed or has failed",
        ),
    ],
)
def test_what_befell_a_run_is_one_sentence(here, monkeypatch, capsys, error, sentence):
    def fail(*_):
        raise error

    monkeypatch.setattr("qsnn_plugins.cli.recipe_cli.RecipeCLI.run", fail)
    assert here("fit", "-c", "good.yaml") == 1
    assert f"error: {sentence}" in capsys.readouterr().err


def test_an_error_of_the_code_stays_a_traceback(here, monkeypatch):
    def fail(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("qsnn_plugins.cli.recipe_cli.RecipeCLI.run", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        here("fit", "-c", "good.yaml")


def test_a_run_folder_that_cannot_be_written_is_one_sentence(here, folder, capsys):
    (folder / "file").touch()
    assert here("test", "-c", "good.yaml", "--trainer.default_root_dir", "file") == 2
    assert "error: file cannot be written (File exists): give another" in capsys.readouterr().err
    assert here("fit", "-c", "good.yaml", "--trainer.default_root_dir", "file") == 1
    assert re.search(
        r"error: .*file/checkpoints cannot be written \(Not a dir", capsys.readouterr().err
    )
    own = ("--trainer.enable_checkpointing=false", "--trainer.max_epochs=1")
    assert here("fit", "-c", "good.yaml", *own, "--trainer.default_root_dir=/proc/x") == 2
    assert "error: /proc/x cannot be written (No such file" in capsys.readouterr().err
    logger = "{class_path: CSVLogger, init_args: {save_dir: file/logs}}"
    assert here("fit", "-c", "good.yaml", *own, f"--trainer.logger={logger}") == 2
    assert "file/logs cannot be written (Not a directory): give" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_process_of_several_is_one_sentence(folder):
    """Lightning's watch over its processes may be first, with a sentence of its own."""
    process = subprocess.run(
        [
            *(sys.executable, "-m", "qsnn_plugins", "fit", "-c", "good.yaml"),
            *("--trainer.devices=2", "--trainer.strategy=ddp", "--model.misfortune=killed peer"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode != 0
    said = process.stdout + process.stderr
    assert "was killed or has failed" in said or "terminated with code -9" in said, said
    assert "gloo/transport" not in said
    assert "Traceback" not in said


def test_damaged_checkpoints_are_not_begun_anew(here, folder, capsys):
    checkpoints = folder / "runs/good/checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "last.ckpt").write_bytes(b"PK")
    (checkpoints / "epoch=1.ckpt").symlink_to("absent")
    assert here("fit", "-c", "good.yaml", "--ckpt_path", "last") == 1
    assert "checkpoints are damaged: remove them to start a new training" in capsys.readouterr().err
    assert here("test", "-c", "good.yaml", "--ckpt_path", "last") == 2
    assert "error: there is no last checkpoint in runs/good" in capsys.readouterr().err
