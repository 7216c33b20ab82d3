"""Progress on standard error: a bar on a terminal, one line for each phase anywhere else.

Nothing is shown of a phase that is over within a second. `QSNN_PROGRESS=0` turns all of it off.
Phases may be nested and may run in several threads: they share one display. Inside the progress bar
of another library, which owns the terminal for the time being, a phase is one line too.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from threading import RLock, Timer
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["is_wanted", "phase", "tracked"]

T = TypeVar("T")

DELAY = 1.0  # seconds


def is_wanted() -> bool:
    """Return whether progress is shown: not with QSNN_PROGRESS=0, and by one process of a run."""
    is_off = os.environ.get("QSNN_PROGRESS", "").lower() in ("0", "off", "false", "no")
    return not is_off and os.environ.get("LOCAL_RANK", "0") == "0"


@contextmanager
def phase(text: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
    """Show progress while the block runs.

    Args:
        text: What is done, as in "unpacking events.zip".
        total: How much there is to do, in any unit; None where that is not known.

    Yields:
        A function that takes how much has been done so far, in the same unit.

    Example:
        >>> with phase("adding up", total=3) as done:
        ...     for count in range(1, 4):
        ...         done(count)
    """
    shown = _Phase(text, total)
    timer = Timer(DELAY, shown.start)
    timer.daemon = True
    if is_wanted():
        timer.start()
    try:
        yield shown.update
    finally:
        timer.cancel()
        shown.stop()


def tracked(items: Iterable[T], text: str, total: int | None = None) -> Iterator[T]:
    """Yield items and show how many of them have been done.

    Args:
        items: Anything to loop over.
        text: What is done with them.
        total: How many there are, where they have no length.

    Example:
        >>> sum(tracked([1, 2, 3], "adding up"))
        6
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with phase(text, total) as done:
        for count, item in enumerate(items):
            done(count)
            yield item


class _Phase:
    """One phase, which becomes visible when `start` is called before `stop`."""

    def __init__(self, text: str, total: float | None) -> None:
        self.text, self.total = text, total
        self._done, self._row, self._is_over = 0.0, _NO_ROW, False

    def start(self) -> None:
        with _display.lock:
            if not self._is_over:
                self._row = _display.add(self.text, self.total, self._done)

    def update(self, done: float) -> None:
        self._done = done
        if self._row != _NO_ROW:
            _display.update(self._row, done)

    def stop(self) -> None:
        with _display.lock:
            self._is_over = True
            if self._row != _NO_ROW:
                _display.remove(self._row)


class _Display:
    """The rows of all phases of this process, on the terminal while there are any."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._progress: Progress | None = None

    def add(self, text: str, total: float | None, done: float) -> int:
        if self._progress is None and _owns_terminal():
            self._progress = _progress()
            self._progress.start()
        if self._progress is None:
            print(f"{text} ...", file=sys.stderr, flush=True)
            return _NO_ROW
        return self._progress.add_task(text, total=total, completed=int(done))

    def update(self, row: int, done: float) -> None:
        if self._progress is not None:
            self._progress.update(_task(row), completed=done)

    def remove(self, row: int) -> None:
        if self._progress is None:
            return
        self._progress.remove_task(_task(row))
        if not self._progress.tasks:
            self._progress.stop()
            self._progress = None


_NO_ROW = -1
_display = _Display()


def _owns_terminal() -> bool:
    is_in_a_display = hasattr(sys.stderr, "rich_proxied_file")  # such as Lightning's progress bar
    has_rich = importlib.util.find_spec("rich") is not None  # `qsnn doctor` runs without it
    return sys.stderr.isatty() and not is_in_a_display and has_rich


def _task(row: int) -> TaskID:
    from rich.progress import TaskID

    return TaskID(row)


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # what is printed meanwhile goes above the bar, unless it goes to a file
        redirect_stdout=sys.stdout.isatty(),
    )
