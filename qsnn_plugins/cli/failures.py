"""Error messages and exit statuses of the commands."""

from __future__ import annotations

import errno
import sys
import warnings
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, NoReturn

from qsnn_plugins.errors import ArgumentError, QSNNError, QSNNWarning


class RecipeError(QSNNError):
    """A recipe, or the command line around it, cannot be turned into a run."""


class ToolParser(ArgumentParser):
    """A parser whose refusals are a `RecipeError`."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise RecipeError(f"{self.prog}: {message}")


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


def tool_status(act: Callable[[], object], words: Iterable[str]) -> int:
    """As `exit_status`, for a tool: with our warnings alone, and status 2 for a refused argument.

    Args:
        act: What the tool does.
        words: Its command line; an argument is called by its option where that is among them.
    """

    def quietly() -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("default", QSNNWarning)
                warnings.showwarning = _show
                act()
        except ArgumentError as error:
            option = f"--{_OPTIONS.get(error.argument, error.argument)}"
            if option in {word.partition("=")[0] for word in words}:
                error = ArgumentError(option, error.value, error.allowed)
            raise RecipeError(str(error)) from None

    return exit_status(quietly)


def _show(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


# Arguments of what a tool calls whose options have other names.
_OPTIONS = {"path": "out", "folder": "out", "rate": "rates", "input shape": "input_shape"}


def refusal(error: OSError) -> str | None:
    """What the system refused, where that is no fault of the code: a full disk, a protected file.

    Example:
        >>> refusal(OSError(28, "No space left on device", "metrics.csv"))
        'metrics.csv cannot be written: No space left on device'
    """
    if error.errno in _CLOSED and error.filename:
        return f"{error.filename} cannot be opened: {error.strerror}"
    if error.errno in _FULL:
        return f"{error.filename or 'the disk'} cannot be written: {error.strerror}"
    return None


_CLOSED = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def did_you_mean(word: str, names: Iterable[str], prefix: str = "") -> str:
    """The end of a sentence about an unknown word; empty where no name is close to it.

    Example:
        >>> did_you_mean("modle", ["model", "data"], prefix="--")
        '; did you mean --model?'
    """
    near = get_close_matches(word, names, n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def article(word: str) -> str:
    """The indefinite article of a word.

    Example:
        >>> article("Optimizer"), article("Module")
        ('an', 'a')
    """
    return "an" if word[0] in "AEIOUaeiou" else "a"
