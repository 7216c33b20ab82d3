"""The errors that this package raises: one root, and one sentence each."""

from __future__ import annotations


class QSNNError(Exception):
    """Root of every error that `qsnn_plugins` raises on purpose.

    The command line prints its message as one sentence, without a traceback.
    """


class ArgumentError(QSNNError, ValueError):
    """An argument has a value that is not allowed.

    Args:
        argument: Name of the argument, as the caller wrote it.
        value: What was given.
        allowed: What may be given instead, in words.

    Example:
        >>> raise ArgumentError("bits", 0, "an integer from 1 to 8")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: bits=0 is not allowed: give an integer from 1 to 8
    """

    def __init__(self, argument: str, value: object, allowed: str) -> None:
        super().__init__(f"{argument}={value!r} is not allowed: give {allowed}")
        self.argument, self.value, self.allowed = argument, value, allowed


class DataError(QSNNError):
    """A data set is missing, truncated or not what it should be."""


class BackendError(QSNNError):
    """A backend that was asked for by name cannot run here.

    Args:
        backend: Its name.
        reason: Why it cannot, in words.

    Example:
        >>> raise BackendError("cpp", "there is no compiler g++")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.BackendError: backend 'cpp' cannot run: there is no compiler g++
    """

    def __init__(self, backend: str, reason: str) -> None:
        super().__init__(f"backend {backend!r} cannot run: {reason}")
        self.backend, self.reason = backend, reason
