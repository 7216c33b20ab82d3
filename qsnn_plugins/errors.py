"""The errors that this package raises: one root, and one sentence each."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "BackendError",
    "DataError",
    "DependencyError",
    "ExportError",
    "QSNNError",
    "QSNNWarning",
    "StateError",
    "UnknownOptionError",
]


class _FromLoader(type):
    """Class of errors that torch builds anew from what a loading process raised.

    It does so from a single text, that process's traceback, of which the error's sentence is kept.
    """

    def __call__(cls: Any, *args: Any, **named: Any) -> Any:
        text = args[0] if len(args) == 1 else None
        if isinstance(text, str) and text.startswith(f"Caught {cls.__name__} "):
            name = f"{cls.__module__}.{cls.__qualname__}: "
            return _rebuilt(cls, text.rpartition(name)[2].strip())
        return super().__call__(*args, **named)


def _rebuilt(kind: type[QSNNError], *args: Any) -> QSNNError:
    """An error that says what it said, whatever its constructor takes."""
    return kind.__new__(kind, *args)


class QSNNError(Exception, metaclass=_FromLoader):
    """Root of every error that `qsnn_plugins` raises on purpose.

    The command line prints its message as one sentence, without a traceback. What a process that
    loads data raises has the same class and sentence in the parent, and no attributes.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), *self.args)


class QSNNWarning(UserWarning):
    """Category of every warning of `qsnn_plugins`: what is done may not be what was meant."""


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
        super().__init__(f"{argument}={_shown(value)} is not allowed: give {allowed}")
        self.argument, self.value, self.allowed = argument, value, allowed


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument is not allowed, where the host itself raises a TypeError."""


def _shown(value: object) -> str:
    """A value as an error shows it: its class alone where all of it would hide the sentence."""
    text = repr(value)
    return f"<{type(value).__name__}>" if "\n" in text or len(text) > 300 else text


class StateError(QSNNError, RuntimeError):
    """A state was not reset, so that a backward pass needs the graph of an earlier batch.

    Args:
        reset: What resets the state, in words.
    """

    def __init__(self, reset: str) -> None:
        super().__init__(
            "a neuron's state still belongs to an earlier batch, whose backward has run: call "
            f"{reset} before each batch"
        )


class UnknownOptionError(ArgumentError):
    """A mapping has a key that is not an option.

    Args:
        owner: What the mapping stands for.
        key: The key.
        known: The options that there are, in words.

    Example:
        >>> raise UnknownOptionError("spec.weight", "bit", "bits and scale; did you mean 'bits'?")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.UnknownOptionError: spec.weight has no option 'bit': it has bits and \
scale; did you mean 'bits'?
    """

    def __init__(self, owner: str, key: object, known: str) -> None:
        super().__init__(owner, key, known)
        self.args = (f"{owner} has no option {key!r}: it has {known}",)


class DataError(QSNNError):
    """A data set is missing, truncated or not what it should be.

    Example:
        >>> raise DataError("00001.bin is empty")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.DataError: 00001.bin is empty
    """


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


class DependencyError(QSNNError, ImportError):
    """A package that an extra of this one installs cannot be imported.

    Args:
        purpose: What needs it.
        package: Its name.
        extra: The extra that installs it.
        reason: What the import said.

    Example:
        >>> raise DependencyError("a figure", "matplotlib", "plot", "No module named 'matplotlib'")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.DependencyError: a figure needs matplotlib, which cannot be imported \
(No module named 'matplotlib'): pip install 'qsnn-plugins[plot]'
    """

    def __init__(self, purpose: str, package: str, extra: str, reason: str) -> None:
        super().__init__(
            f"{purpose} needs {package}, which cannot be imported ({reason}): "
            f"pip install 'qsnn-plugins[{extra}]'"
        )
        self.package, self.extra = package, extra


class ExportError(QSNNError):
    """A network cannot be converted to integers, or a file holds no integer network."""
