"""Run `fit`, `validate`, `test` or `predict`, and report errors in one sentence."""

from __future__ import annotations

import os
import re
import shlex
import sys
import warnings
from itertools import pairwise

from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import exit_status, refusal
from qsnn_plugins.cli.inputs import check_checkpoint
from qsnn_plugins.errors import QSNNError
from qsnn_plugins.progress import phase
from qsnn_plugins.stopping import sigterm_stops


def train(words: list[str]) -> int:
    """Run LightningCLI on `words`, such as `fit -c RECIPE`, and return the exit status.

    That of `exit_status`; 130 after Ctrl-C and 143 after SIGTERM.
    """
    try:
        with sigterm_stops():
            return exit_status(lambda: _run(words))
    except (KeyboardInterrupt, SystemExit) as stop:
        # Lightning tidies up after an interrupt and then exits with status 1
        interrupt = stop if isinstance(stop, KeyboardInterrupt) else stop.__context__
        if not isinstance(interrupt, KeyboardInterrupt):
            raise
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print(_how_to_go_on(words, getattr(interrupt, "saved", False)), file=sys.stderr)
        return getattr(interrupt, "status", 130)


# Advice of Lightning that does not fit: the data lie in memory or in a mapped file, and its own use
# of torch's trees is nothing that a user can change.
_MISPLACED_ADVICE = (".*does not have many workers.*", ".*isinstance.treespec, LeafSpec.*")


def _run(words: list[str]) -> None:
    # before anything heavy is imported
    recipes = Composition.of(words[1:])
    check_checkpoint(recipes.config.get("ckpt_path"))
    recipes.check_needs(recipes.config.get("ckpt_path"))
    for message in _MISPLACED_ADVICE:
        warnings.filterwarnings("ignore", message)
    with phase("importing torch and Lightning"):
        from qsnn_plugins.cli.recipe_cli import RecipeCLI

    try:
        RecipeCLI.run(recipes, words[0])
    except OSError as error:
        if reason := refusal(error):
            raise QSNNError(reason) from None
        raise
    except RuntimeError as error:
        if _LOST_PEER.search(str(error)):
            raise QSNNError(
                "a process of this run was killed or has failed, so the others cannot continue; "
                "its last messages are above, if it printed any"
            ) from None
        raise


_LOST_PEER = re.compile(
    r"gloo.*(by peer|[Tt]imed out|error)|NCCL.*(remote|timeout|abort)", re.DOTALL
)


def _how_to_go_on(words: list[str], saved: bool = True) -> str:
    if words[0] != "fit":
        return "stopped"
    if not saved:  # `last` would be that of another run
        return f"stopped before a checkpoint was written; start with: lightning {shlex.join(words)}"
    own = ("--ckpt_path", "--ckpt_changes")
    again = [
        word
        for before, word in pairwise(["", *words])
        if before not in own and word.partition("=")[0] not in own
    ]
    again += ["--ckpt_path", "last"]
    if Composition.of(again[1:]).config.get("ckpt_changes") == "allow":  # a recipe says so
        again += ["--ckpt_changes", "refuse"]
    return f"stopped; continue with: lightning {shlex.join(again)}"
