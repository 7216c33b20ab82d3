"""Run `fit`, `validate`, `test` or `predict`, and end with a sentence where it cannot be done."""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Callable

from qsnn_plugins.errors import QSNNError


class RecipeError(QSNNError):
    """A recipe, or the command line around it, cannot be turned into a run."""


def train(words: list[str]) -> int:
    """Run LightningCLI on `sys.argv` and return the exit status.

    0: done. 1: a `QSNNError` while it ran. 2: a recipe that cannot be used. 130: Ctrl-C. Any other
    exception is a bug and keeps its traceback.
    """
    try:
        return errors_as_sentences(lambda: _run(words))
    except (KeyboardInterrupt, SystemExit) as stop:
        if not _is_interrupt(stop):
            raise
        print(_how_to_go_on(words), file=sys.stderr)
        return 130


def errors_as_sentences(act: Callable[[], None]) -> int:
    """Do something, end with a sentence where it fails, and return the exit status of `train`."""
    try:
        act()
    except QSNNError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, RecipeError) else 1
    return 0


# Advice of Lightning that does not fit: the data lie in memory or in a mapped file, and its own use
# of torch's trees is nothing that a user can mend.
_MISPLACED_ADVICE = (".*does not have many workers.*", ".*isinstance.treespec, LeafSpec.*")


def _run(words: list[str]) -> None:
    for message in _MISPLACED_ADVICE:
        warnings.filterwarnings("ignore", message)
    # A recipe may name the user's own classes; what is installed is still found first.
    sys.path.append(os.getcwd())
    from qsnn_plugins.cli.recipe_cli import RecipeCLI

    RecipeCLI.run(words)


def _is_interrupt(stop: BaseException) -> bool:
    """Whether it was Ctrl-C: Lightning tidies up after one and then exits with status 1."""
    return isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt)


def _how_to_go_on(words: list[str]) -> str:
    if words[0] != "fit":
        return "stopped"
    again = words if "--ckpt_path" in words else [*words, "--ckpt_path", "last"]
    return f"stopped; go on with: lightning {shlex.join(again)}"
