"""Run `fit`, `validate`, `test` or `predict`, and end with a sentence where it cannot be done."""

from __future__ import annotations

import shlex
import sys
import warnings

from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import exit_status


def train(words: list[str]) -> int:
    """Run LightningCLI on `words`, such as `fit -c RECIPE`, and return the exit status.

    That of `exit_status`, or 130 after Ctrl-C.
    """
    try:
        return exit_status(lambda: _run(words))
    except (KeyboardInterrupt, SystemExit) as stop:
        if not _is_interrupt(stop):
            raise
        print(_how_to_go_on(words), file=sys.stderr)
        return 130


# Advice of Lightning that does not fit: the data lie in memory or in a mapped file, and its own use
# of torch's trees is nothing that a user can change.
_MISPLACED_ADVICE = (".*does not have many workers.*", ".*isinstance.treespec, LeafSpec.*")


def _run(words: list[str]) -> None:
    # before anything heavy is imported
    recipes = Composition.of(words[1:])
    for message in _MISPLACED_ADVICE:
        warnings.filterwarnings("ignore", message)
    from qsnn_plugins.cli.recipe_cli import RecipeCLI

    RecipeCLI.run(recipes, words[0])


def _is_interrupt(stop: BaseException) -> bool:
    """Whether it was Ctrl-C: Lightning tidies up after one and then exits with status 1."""
    return isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt)


def _how_to_go_on(words: list[str]) -> str:
    if words[0] != "fit":
        return "stopped"
    again = words if "--ckpt_path" in words else [*words, "--ckpt_path", "last"]
    return f"stopped; go on with: lightning {shlex.join(again)}"
