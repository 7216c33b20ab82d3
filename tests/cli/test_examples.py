"""The examples in the helps are commands that run as they are printed."""

import contextlib
import io
import re
import shlex
import sys
from importlib import import_module
from pathlib import Path

import pytest

from qsnn_plugins import cli
from qsnn_plugins.cli.composition import Composition

ROOT = Path(__file__).parents[2]
# without data, a checkpoint or results, and quick
CHEAP = ("recipes", "reproduce", "cost")


def help_of(*words):
    """What `qsnn ... --help` prints."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(sys, "argv", ["qsnn", *words, "--help"])
        patch.setenv("COLUMNS", "100")
        with contextlib.suppress(SystemExit):
            cli.qsnn()
    return printed.getvalue()


def examples(text):
    """The commands below `example:` or `examples:`, as words."""
    below = re.split(r"^examples?:", text, flags=re.MULTILINE)[1]
    return [shlex.split(line) for line in below.replace("\\\n", "").strip().splitlines()]


COMMANDS = [*cli.TRAINING, *cli.TOOLS]
EXAMPLES = [example for word in COMMANDS for example in examples(help_of(word))]


@pytest.fixture
def in_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("word", COMMANDS)
def test_each_command_has_an_example_of_its_own(word):
    found = examples(help_of(word))
    assert found
    assert all(example[:2] == ["qsnn", word] for example in found)


def test_the_first_help_names_all_commands_in_groups():
    text = help_of()
    assert all(re.search(rf"^  {word} +\w", text, re.MULTILINE) for word in COMMANDS)
    assert max(map(len, text.splitlines())) <= 100
    ((command, word, *_),) = [example[:3] for example in examples(text)]
    assert (command, word) == ("qsnn", "fit")


@pytest.mark.usefixtures("in_checkout")
@pytest.mark.parametrize("words", EXAMPLES, ids=" ".join)
def test_an_example_can_be_parsed(words):
    _, word, *options = words
    if word in cli.TOOLS:
        module = import_module(f"qsnn_plugins.{cli.TOOLS[word][1].partition(':')[0]}")
        if word == "plot":
            options = []  # tested with the figures
        elif hasattr(module, "_parser"):
            _, options = module._parser().parse_known_args(options)
    if word in cli.TRAINING or options:
        assert all(file.is_file() for file in Composition.of(options).files)


@pytest.mark.usefixtures("in_checkout")
@pytest.mark.parametrize("words", [w for w in EXAMPLES if w[1] in CHEAP], ids=" ".join)
def test_a_cheap_example_runs(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", words)
    assert cli.qsnn() == 0
    captured = capsys.readouterr()
    assert len(captured.out) > 100
    assert "error" not in captured.err
