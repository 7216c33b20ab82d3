"""Ctrl-C and SIGTERM: at once, or between two batches of a training."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["StopRequest", "Stopped", "sigterm_stops"]

_ANSWER = (
    b"\nstopping after this batch, or after the validation of its epoch; Ctrl-C again stops now\n"
)
_ECHO = 2.0  # seconds


class Stopped(KeyboardInterrupt):
    """A signal stopped the program.

    Args:
        signum: The signal.

    Example:
        >>> Stopped(signal.SIGTERM).status
        143
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.status = 128 + signum


@contextmanager
def sigterm_stops() -> Iterator[None]:
    """Let SIGTERM raise `Stopped`, as SIGINT raises KeyboardInterrupt, unless it is in use.

    Example:
        >>> try:
        ...     with sigterm_stops():
        ...         signal.raise_signal(signal.SIGTERM)
        ... except KeyboardInterrupt as stop:
        ...     stop
        Stopped('SIGTERM')
    """
    if not _is_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class StopRequest:
    """Whether a training was asked to stop.

    A step of the optimizer that is cut in half cannot be taken up again. So the first SIGINT or
    SIGTERM only asks; the second raises `Stopped` wherever the program is. A SIGTERM that follows
    another within two seconds counts as the same: a signal to a whole group of processes reaches a
    run twice where its parent passes it on, as `qsnn measure` does.

    Example:
        >>> request, before = StopRequest(), signal.getsignal(signal.SIGTERM)
        >>> request.listen()
        >>> signal.raise_signal(signal.SIGTERM)
        >>> request.signum.name
        'SIGTERM'
        >>> _ = signal.signal(signal.SIGTERM, before)
    """

    def __init__(self) -> None:
        self.signum: signal.Signals | None = None
        self._process, self._answers, self._asked = os.getpid(), True, 0.0

    def listen(self, answers: bool = True) -> None:
        """Take both signals from now on; one that is ignored stays ignored.

        Whoever had them before has to take them back, as Lightning does at the end of a run.

        Args:
            answers: Whether to say on standard error what a signal will do.
        """
        self._process, self._answers = os.getpid(), answers
        if not _is_main_thread():
            return
        for signum in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._receive)

    def _receive(self, signum: int, frame: Any) -> None:
        # Ctrl-C reaches forked workers too, whose batches are still wanted
        if os.getpid() != self._process:
            return
        if self.signum is not None:
            is_echo = signum == self.signum == signal.SIGTERM
            if is_echo and time.monotonic() - self._asked < _ECHO:
                return
            raise Stopped(signum)
        self.signum, self._asked = signal.Signals(signum), time.monotonic()
        if self._answers:
            # print may be what was interrupted
            os.write(2, _ANSWER)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _raise(signum: int, frame: Any) -> None:
    raise Stopped(signum)
