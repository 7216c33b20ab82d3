import os
import signal
import subprocess
import sys

import pytest

from qsnn_plugins import __version__, cli

ASK = """
import sys
from qsnn_plugins import cli
sys.argv = ["{command}", *{words!r}]
status = cli.{command}()
heavy = [m for m in ("torch", "lightning", "jsonargparse", "numpy") if m in sys.modules]
sys.exit(f"imported {{heavy}}" if heavy else status)
"""


@pytest.mark.parametrize("command", ["lightning", "qsnn"])
@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["--version"], ["fit", "--help"]])
def test_help_and_version_import_nothing_heavy(command, words):
    code = ASK.format(command=command, words=words)
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert ("fit" in process.stdout) or (__version__ in process.stdout)


def test_python_dash_m_is_qsnn():
    process = subprocess.run(
        [sys.executable, "-m", "qsnn_plugins", "--help"], capture_output=True, text=True
    )
    assert process.returncode == 0
    assert "doctor" in process.stdout


class OtherLightning:
    """Another distribution's entry point: it remembers the words that it was called with."""

    module = "lightning_sdk.cli"

    def load(self):
        def answer():
            self.words = list(sys.argv)
            return 7

        return answer


@pytest.fixture
def other(monkeypatch):
    entry = OtherLightning()
    monkeypatch.setattr(cli, "other_claim", lambda command: ("lightning-sdk", entry))
    return entry


@pytest.fixture
def alone(monkeypatch):
    monkeypatch.setattr(cli, "other_claim", lambda command: None)


@pytest.fixture
def trained(monkeypatch):
    monkeypatch.setattr(cli, "_train", lambda: 5)


def test_other_words_go_to_the_other_owner_untouched(other, monkeypatch):
    words = ["lightning", "run", "studio", "--name", "a b"]
    monkeypatch.setattr(sys, "argv", words)
    assert cli.lightning() == 7
    assert other.words == words


@pytest.mark.parametrize("command", ["lightning", "qsnn"])
@pytest.mark.parametrize("word", ["fit", "validate", "test", "predict"])
@pytest.mark.usefixtures("other", "trained")
def test_the_four_words_are_ours(command, word, monkeypatch):
    monkeypatch.setattr(sys, "argv", [command, word, "--help=all"])
    assert getattr(cli, command)() == 5


@pytest.mark.usefixtures("other")
def test_help_names_the_other_owner(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["lightning", "--help"])
    assert cli.lightning() == 0
    assert "passed on to lightning-sdk" in capsys.readouterr().out


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("command", "word", "hint"),
    [
        ("lightning", "fti", "did you mean 'fit'?"),
        ("qsnn", "docter", "did you mean 'doctor'?"),
        ("lightning", "zzz", "the commands are fit, validate, test, predict"),
    ],
)
def test_unknown_word(command, word, hint, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [command, word])
    assert getattr(cli, command)() == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {command} has no command {word!r}")
    assert hint in err


@pytest.mark.slow
def test_every_tool_can_be_found():
    for does, where in cli.TOOLS.values():
        module, function = where.split(":")
        code = f"from qsnn_plugins.{module} import {function}"
        assert does
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("signum", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_stops_a_tool_in_one_line(signum, status, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["qsnn", "doctor"])
    number = getattr(signal, signum)
    monkeypatch.setattr("qsnn_plugins.doctor.main", lambda _: signal.raise_signal(number))
    assert cli.qsnn() == status
    assert capsys.readouterr() == ("", "stopped\n")


def test_a_reader_that_leaves_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "qsnn_plugins"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 141)
    process.stderr.close()


@pytest.mark.parametrize(
    "words", [["--help"], ["recipes"], ["cost", "-c", "recipes/spquant_vgg9.yaml"]]
)
def test_a_full_disk_is_one_sentence(words):
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "qsnn_plugins", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            env=os.environ | {"QSNN_PROGRESS": "0"},
            text=True,
        )
    assert process.stderr == "error: the disk cannot be written: No space left on device\n"
    assert process.returncode == 1


def test_a_path_that_is_too_long_is_one_sentence(capsys, monkeypatch, tmp_path):
    (log := tmp_path / "metrics.csv").write_text("epoch,train_loss\n0,1.0\n")
    monkeypatch.setattr(
        sys, "argv", ["qsnn", "plot", "curves", str(log), "--out", f"{'a' * 300}.png"]
    )
    assert cli.qsnn() == 1
    assert capsys.readouterr().err.endswith("a.png cannot be opened: File name too long\n")
