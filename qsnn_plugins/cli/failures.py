"""What the commands say, and the exit status they end with, where something cannot be done."""

from __future__ import annotations

import sys
from collections.abc import Callable

from qsnn_plugins.errors import QSNNError


class RecipeError(QSNNError):
    """A recipe, or the command line around it, cannot be turned into a run."""


def exit_status(act: Callable[[], object]) -> int:
    """Call `act`, print an error of this package as one sentence, and return the exit status.

    0: done. 1: a `QSNNError` while it ran. 2: a recipe or an option that cannot be used. Any other
    exception is a bug and keeps its traceback.
    """
    try:
        act()
    except QSNNError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, RecipeError) else 1
    return 0
