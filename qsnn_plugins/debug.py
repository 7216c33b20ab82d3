"""Debug mode: the first NaN raises an error instead of spreading.

It is on if QSNN_DEBUG=1 is set when the package is imported, and inside `debugging()`. Each check
reads the values of a tensor, so on a GPU it waits for the device.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from qsnn_plugins.errors import ArgumentError

__all__ = ["debugging", "is_debugging", "refuse_nan"]

_enabled = os.environ.get("QSNN_DEBUG", "0") == "1"


def is_debugging() -> bool:
    """Return whether debug mode is on.

    Example:
        >>> with debugging():
        ...     is_debugging()
        True
    """
    return _enabled


@contextmanager
def debugging(enabled: bool = True) -> Iterator[None]:
    """Turn debug mode on, or off, inside a `with` block.

    Args:
        enabled: Whether it is on.

    Example:
        >>> import torch
        >>> from qsnn_plugins.functional import nearest_level
        >>> nearest_level(torch.tensor([float("nan")]))  # by default a NaN stays one
        tensor([nan])
        >>> with debugging():
        ...     nearest_level(torch.tensor([float("nan"), 0.0]))
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: u='1 NaN among 2 values' is not allowed: give numbers
    """
    global _enabled
    before, _enabled = _enabled, enabled
    try:
        yield
    finally:
        _enabled = before


def refuse_nan(argument: str, values: Tensor) -> None:
    """Raise an error that names `argument` if debug mode is on and a value is NaN.

    Args:
        argument: Name of the argument, as the caller wrote it.
        values: Tensor of any shape.

    Raises:
        ArgumentError: If debug mode is on and a value is NaN.
    """
    if _enabled and bool(values.isnan().any()):
        count = int(values.isnan().sum())
        raise ArgumentError(argument, f"{count} NaN among {values.numel()} values", "numbers")
