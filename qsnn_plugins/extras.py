"""Packages that only an extra of this one installs: imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from qsnn_plugins.errors import DependencyError

__all__ = ["import_extra"]


def import_extra(module: str, extra: str, purpose: str) -> Any:
    """Import a module, or say which extra of qsnn-plugins brings it.

    Args:
        module: Its name, as in an import statement.
        extra: The extra that installs it.
        purpose: What needs it; the message begins with this.

    Raises:
        DependencyError: It cannot be imported.

    Example:
        >>> import_extra("no_such_module", "plot", "a figure")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.DependencyError: a figure needs no_such_module, which cannot be \
imported (No module named 'no_such_module'): pip install 'qsnn-plugins[plot]'
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise DependencyError(purpose, module.partition(".")[0], extra, str(error)) from error
