"""Checks that the parts of a spec share."""

from __future__ import annotations

from typing import Any, get_args

from qsnn_plugins.errors import ArgumentError


def check_choice(argument: str, value: str, choices: Any) -> None:
    """Raise an error that names `argument` unless `value` is one of a Literal's choices."""
    if value not in get_args(choices):
        raise ArgumentError(argument, value, f"one of {', '.join(get_args(choices))}")


def check_positive(argument: str, value: float) -> None:
    """Raise an error that names `argument` unless `value` is above 0."""
    if not value > 0:
        raise ArgumentError(argument, value, "a number above 0")
