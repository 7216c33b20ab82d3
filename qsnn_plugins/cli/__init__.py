"""The `lightning` and `qsnn` commands.

The first word alone decides who answers. It imports neither torch nor Lightning:
help and version come at once, and what a command needs is imported when the command is given.
"""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from qsnn_plugins import __version__
from qsnn_plugins.cli.examples import DEMO, SCENES
from qsnn_plugins.cli.failures import refusal
from qsnn_plugins.command_owners import other_claim
from qsnn_plugins.stopping import sigterm_stops

_SIGPIPE = 13  # Windows has none

# Command: (what it does, options of an example).
TRAINING = {
    "fit": ("train the network of a recipe", DEMO),
    "validate": ("run it on the validation data", f"{DEMO} --ckpt_path last"),
    "test": (
        "run it on the test data; print rates, memory and accuracy",
        f"{DEMO} --ckpt_path last",
    ),
    "predict": (
        "write the classes or boxes that it predicts",
        f"{SCENES} --ckpt_path last",
    ),
}

# Command: (what it does, "module:function" taking the words that follow, returning a status).
TOOLS = {
    "cost": ("print memory, operations and energy of a network", "cli.cost:main"),
    "plot": ("draw figures of trained networks or of results", "cli.plot:main"),
    "export": ("write a trained network as integers, to a file or as C", "cli.export:main"),
    "recipes": ("list all recipes with the papers' and our results", "reproduce.recipes:main"),
    "reproduce": ("print the papers' tables beside our values", "reproduce.command:main"),
    "measure": ("train and test a recipe over several seeds", "reproduce.measure:main"),
    "doctor": ("check this installation, and say how to fix it", "doctor:main"),
}

_GROUPS = {
    "Train and test": tuple(TRAINING),
    "Examine a network": ("cost", "plot"),
    "Deploy a network": ("export",),
    "Compare with the papers": ("recipes", "reproduce", "measure"),
    "Check the installation": ("doctor",),
}


def lightning() -> int:
    """Answer `lightning ...`: four commands are ours, all others belong to another owner."""
    return _answer("lightning", {word: does for word, (does, _) in TRAINING.items()})


def qsnn() -> int:
    """Answer `qsnn ...`: the same four commands, and this package's own tools."""
    return _answer("qsnn", {word: does for word, (does, _) in (TRAINING | TOOLS).items()})


def _answer(command: str, known: dict[str, str]) -> int:
    word, *others = sys.argv[1:] or ["--help"]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a locale without ± is no reason to stop
    if word in TRAINING and others not in (["-h"], ["--help"]):
        return _train()
    try:
        status = _print_or_use(command, known, word, others)
        print(end="", flush=True)
        return status
    except BrokenPipeError:  # nobody reads on, as with `| head`
        _print_no_more()
        return 128 + _SIGPIPE
    except OSError as error:
        if (reason := refusal(error)) is None:
            raise
        if error.filename is None:
            _print_no_more()
        print(f"error: {reason}", file=sys.stderr)
        return 1


def _print_no_more() -> None:
    """Keep Python from trying again, when it ends, to write what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_or_use(command: str, known: dict[str, str], word: str, others: list[str]) -> int:
    if word in TRAINING:
        print(_training_help(command, word))
        return 0
    if word in ("-h", "--help"):
        print(_help(command, known))
        return 0
    if word == "--version":
        print(f"qsnn-plugins {__version__}, lightning {_version('lightning')}")
        return 0
    if word in known:
        return _use(word, others)
    if command == "lightning" and (other := other_claim(command)):
        return other[1].load()()
    near = get_close_matches(word, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the commands are {', '.join(known)}"
    print(f"error: {command} has no command {word!r}; {hint}", file=sys.stderr)
    return 2


def _use(tool: str, words: list[str]) -> int:
    """Call a tool; 130 after Ctrl-C and 143 after SIGTERM."""
    module, function = TOOLS[tool][1].split(":")
    try:
        with sigterm_stops():
            return getattr(import_module(f"qsnn_plugins.{module}"), function)(words)
    except KeyboardInterrupt as stop:
        print("stopped", file=sys.stderr)
        return getattr(stop, "status", 130)


def _train() -> int:
    from qsnn_plugins.cli.training import train

    return train(sys.argv[1:])


def _help(command: str, known: dict[str, str]) -> str:
    lines = [f"usage: {command} COMMAND [options]"]
    for title, words in _GROUPS.items():
        if known.keys() & set(words):
            lines += ["", f"{title}:", *(f"  {word:<11}{known[word]}" for word in words)]
    lines += ["", f"{command} COMMAND --help shows the options of a command, and an example."]
    lines += ["QSNN_PROGRESS=0 in the environment hides progress bars, except those of Lightning."]
    lines += ["", "example:", f"  {command} fit {DEMO}"]
    if command == "lightning" and (other := other_claim(command)):
        lines += ["", f"All other commands are passed on to {other[0]}, which is installed too."]
    elif command == "lightning":
        lines += ["", "`qsnn` has these commands too, and the tools of this package."]
    return "\n".join(lines)


def _training_help(command: str, word: str) -> str:
    does, example = TRAINING[word]
    return f"""\
usage: {command} {word} -c RECIPE [-c OVERLAY ...] [--KEY=VALUE ...]

{does[0].upper()}{does[1:]}.

  -c FILE              a recipe, or an overlay that changes it (see recipes/README.md)
  --ckpt_path=FILE     a checkpoint, or `last` for the newest one of this recipe
  --ckpt_changes=allow accept a checkpoint that was trained with other bits, leaks or time steps
  --weights_only=false unpickle the checkpoint; only for files that you trust
  --tensorboard        write TensorBoard logs too: tensorboard --logdir runs
  --KEY=VALUE          any value of the recipe, such as --trainer.max_epochs=5,
                       --data.batch_size=32 or --model.network.spec.weight_bits=2
  --print_config       print the complete configuration, and stop
  --model.help=CLASS   with -c: the options of a class, such as SpikingClassifier;
                       --model.network.help=StringNet and --data.help=CLASS likewise
  --help=all           every option of the trainer

example:
  {command} {word} {example}"""


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
