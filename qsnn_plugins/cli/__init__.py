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
    "export": ("turn a trained network into integers, as a file or as C", "cli.export:main"),
    "plot": ("draw the papers' figures, of a trained network or of results", "cli.plot:main"),
    "reproduce": ("compare the papers' tables with our figures", "reproduce.command:main"),
    "recipes": ("list the papers' rows with their commands and results", "reproduce.recipes:main"),
    "measure": ("train and test a recipe's rows, and record them", "reproduce.measure:main"),
    "doctor": ("say what is installed, what can run and how to fix the rest", "doctor:main"),
}


def lightning() -> int:
    """Answer `lightning ...`: four words are ours, the rest is another owner's if there is one."""
    return _answer("lightning", TRAINING)


def qsnn() -> int:
    """Answer `qsnn ...`: the same four words, and this package's own tools."""
    return _answer("qsnn", TRAINING | {word: does for word, (does, _) in TOOLS.items()})


def _answer(command: str, known: dict[str, str]) -> int:
    word, *others = sys.argv[1:] or ["--help"]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a locale without ± is no reason to stop
    if word in TRAINING and others in (["-h"], ["--help"]):
        print(_training_help(command, word))
        return 0
    if word in TRAINING:
        return _train()
    if word in ("-h", "--help"):
        print(_help(command, known))
        return 0
    if word == "--version":
        print(f"qsnn-plugins {__version__}, lightning {_version('lightning')}")
        return 0
    if word in known:
        module, function = TOOLS[word][1].split(":")
        return getattr(import_module(f"qsnn_plugins.{module}"), function)(others)
    if command == "lightning" and (other := other_claim(command)):
        return other[1].load()()
    near = get_close_matches(word, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(known)}"
    print(f"error: {command} does not know {word!r}; {hint}", file=sys.stderr)
    return 2


def _train() -> int:
    from qsnn_plugins.cli.training import train

    return train(sys.argv[1:])


def _help(command: str, known: dict[str, str]) -> str:
    lines = [
        f"usage: {command} WORD [options]     {command} WORD --help shows the options",
        "",
        *(f"  {word:<10}{does}" for word, does in known.items()),
        "",
        f"example: {command} fit -c recipes/spquant_vgg9.yaml -c recipes/overlays/embedded.yaml",
    ]
    if command == "lightning" and (other := other_claim(command)):
        lines += ["", f"Any other word is handed on to {other[0]}, which has a `lightning` too."]
    elif command == "lightning":
        lines += ["", "The tools of this package answer to `qsnn`, which also knows these words."]
    return "\n".join(lines)


def _training_help(command: str, word: str) -> str:
    return f"""\
usage: {command} {word} -c RECIPE [-c OVERLAY ...] [--KEY=VALUE ...]

{TRAINING[word]}

  -c FILE              a recipe, or an overlay on top of it (see recipes/README.md)
  --ckpt_path=FILE     a checkpoint, or `last`, the newest of the recipe's runs
  --weights_only=false unpickle a checkpoint that you trust
  --KEY=VALUE          any value of the recipe, such as --trainer.max_epochs=5,
                       --data.batch_size=32 or --model.network.spec.weight_bits=2
  --print_config       print the composed recipe, and do nothing
  --model.help=CLASS   the options of a class, such as SpikingClassifier or StringNet;
                       --data.help=CLASS likewise
  --help=all           every option of the trainer"""


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
