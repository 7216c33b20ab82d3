"""The `lightning` and `qsnn` commands.

The first word alone decides who answers. It imports neither torch nor Lightning:
help and version come at once, and what a word needs is imported when the word is given.
"""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from qsnn_plugins import __version__
from qsnn_plugins.command_owners import other_claim

TRAINING = {
    "fit": "train the network of a recipe",
    "validate": "run it on the validation data",
    "test": "run it on the test data and print the closing table",
    "predict": "write down its predictions",
}

# Word: (what it does, "module:function" taking the words that follow and returning an exit status).
TOOLS = {
    "cost": ("say what the network of a recipe costs: memory, operations, energy", "cli.cost:main"),
    "plot": ("draw the papers' figures, of a trained network or of results", "cli.plot:main"),
    "reproduce": ("compare the papers' tables with our figures", "reproduce.command:main"),
    "recipes": ("list the papers' rows with their commands and results", "reproduce.recipes:main"),
    "measure": ("train and test a recipe's rows, and record them", "reproduce.measure:main"),
    "doctor": ("say what is installed, what can run and how to fix the rest", "doctor:main"),
}


def lightning() -> int:
    """Answer `lightning ...`: four words are ours, the rest is another owner's if there is one."""
    words = sys.argv[1:]
    if _is_training(words):
        return _train()
    if answer := _answer("lightning", words, TRAINING):
        print(answer)
        return 0
    if other := other_claim("lightning"):
        return other[1].load()()
    return _unknown("lightning", words[0], TRAINING)


def qsnn() -> int:
    """Answer `qsnn ...`: the same four words, and this package's own tools."""
    words = sys.argv[1:]
    if _is_training(words):
        return _train()
    known = TRAINING | {word: does for word, (does, _) in TOOLS.items()}
    if answer := _answer("qsnn", words, known):
        print(answer)
        return 0
    if words[0] in TOOLS:
        module, function = TOOLS[words[0]][1].split(":")
        return getattr(import_module(f"qsnn_plugins.{module}"), function)(words[1:])
    return _unknown("qsnn", words[0], known)


def _is_training(words: list[str]) -> bool:
    return bool(words) and words[0] in TRAINING


def _train() -> int:
    from qsnn_plugins.cli.training import train

    return train(sys.argv[1:])


def _answer(command: str, words: list[str], known: dict[str, str]) -> str | None:
    """Help or version, where that is what was asked for."""
    if not words or words[0] in ("-h", "--help"):
        return _help(command, known)
    if words[0] == "--version":
        return f"qsnn-plugins {__version__}, lightning {_version('lightning')}"
    return None


def _help(command: str, known: dict[str, str]) -> str:
    lines = [
        f"usage: {command} WORD [options]     {command} WORD --help shows the options",
        "",
        *(f"  {word:<10}{does}" for word, does in known.items()),
        "",
        f"example: {command} fit -c recipes/spquant_vgg9.yaml -c recipes/overlays/embedded.yaml",
    ]
    if command == "lightning":
        lines += ["", _other_words()]
    return "\n".join(lines)


def _other_words() -> str:
    if other := other_claim("lightning"):
        return f"Any other word is handed on to {other[0]}, which has a `lightning` of its own."
    return "The tools of this package answer to `qsnn`, which also knows these words."


def _unknown(command: str, word: str, known: dict[str, str]) -> int:
    near = get_close_matches(word, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(known)}"
    print(f"error: {command} does not know {word!r}; {hint}", file=sys.stderr)
    return 2


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
