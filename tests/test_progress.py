"""Progress on a terminal, in a file, inside another display, and switched off."""

import os
import pty
import subprocess
import sys
import threading

import pytest

from qsnn_plugins import progress
from qsnn_plugins.progress import is_wanted, phase, tracked

SLOW = """
import sys, time
from qsnn_plugins import progress
progress.DELAY = 0.05
with progress.phase("outer", total=4) as done:
    done(1)
    for _ in progress.tracked(range(3), "inner"):
        time.sleep(0.2)
    print("printed", flush=True)
"""


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Phases are shown without a delay, by a timer that does not wait for another thread."""

    class Now(threading.Timer):
        def start(self):
            self.function()

    monkeypatch.setattr(progress, "Timer", Now)
    monkeypatch.delenv("QSNN_PROGRESS", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)


def on_a_terminal(code, **environment):
    """What a program writes to standard error, a terminal, and to standard output, a pipe."""
    own, others = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=others,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", **environment},
    )
    os.close(others)
    written = b""
    try:
        while piece := os.read(own, 1 << 16):
            written += piece
    except OSError:  # the other end is closed
        pass
    os.close(own)
    output = process.communicate()[0].decode()
    assert process.returncode == 0
    return written.decode(), output


def test_a_terminal_shows_bars_and_ends_without_them():
    shown, printed = on_a_terminal(SLOW)
    assert "outer" in shown
    assert "inner" in shown
    assert "25%" in shown  # of the outer one
    assert shown.endswith(("\x1b[2K", "\x1b[?25h")) or "\x1b[2K" in shown.rpartition("inner")[2]
    assert printed == "printed\n"  # which does not go the way of the bar


def test_it_can_be_switched_off():
    assert on_a_terminal(SLOW, QSNN_PROGRESS="0") == ("", "printed\n")


def test_anywhere_else_a_phase_is_one_line(capsys):
    with phase("unpacking events.zip", total=2) as done:
        for count in (1, 2):
            done(count)
        assert list(tracked(iter("ab"), "reading")) == ["a", "b"]
    captured = capsys.readouterr()
    assert captured.err == "unpacking events.zip ...\nreading ...\n"
    assert captured.out == ""


def test_in_the_display_of_another_it_is_one_line_above_it(capsys, monkeypatch):
    from rich.console import Console
    from rich.progress import Progress

    console = Console(force_terminal=True, width=60)
    with Progress(console=console) as other:
        other.add_task("Epoch 0")
        monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: True)
        with phase("building"):
            assert progress._display._progress is None
    assert "building ..." in capsys.readouterr().out


def test_a_quick_phase_shows_nothing(capsys, monkeypatch):
    monkeypatch.setattr(progress, "Timer", threading.Timer)
    assert list(tracked([1, 2], "adding")) == [1, 2]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [("QSNN_PROGRESS", "0", False), ("QSNN_PROGRESS", "1", True), ("LOCAL_RANK", "1", False)],
)
def test_who_shows_it(name, value, wanted, monkeypatch, capsys):
    monkeypatch.setenv(name, value)
    assert is_wanted() is wanted
    with phase("counting"):
        pass
    assert (capsys.readouterr().err != "") is wanted


def test_an_error_ends_the_display(monkeypatch):
    with pytest.raises(ZeroDivisionError), phase("dividing"):
        _ = 1 / 0
    assert progress._display._progress is None
