"""Checks of single values: each takes the argument's name and a value, and returns the value."""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any, get_args

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.membrane.stacked import check_levels

__all__ = ["boolean", "choice", "integer", "levels", "number", "plain_values"]

Check = Callable[[str, Any], Any]


def choice(choices: Any) -> Check:
    """Check for one of a Literal's or a sequence's values."""
    values = get_args(choices) or tuple(choices)

    def check(argument: str, value: Any) -> Any:
        # 1 == True == 1.0: a value of another type is another value
        if not any(type(value) is type(v) and value == v for v in values):
            raise ArgumentError(argument, value, f"one of {', '.join(map(str, values))}")
        return value

    return check


def integer(least: int, most: int | None = None) -> Check:
    """Check for an integer from `least`, to `most` where it is given."""
    allowed = f"an integer from {least}" + (f" to {most}" if most is not None else "")

    def check(argument: str, value: Any) -> int:
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        if not is_integer or value < least or (most is not None and value > most):
            raise ArgumentError(argument, value, allowed)
        return value

    return check


def number(allowed: str, fits: Callable[[float], bool] = lambda _: True) -> Check:
    """Check for a finite number that fits; `allowed` says so in words."""

    def check(argument: str, value: Any) -> float:
        if not _is_number(value) or not fits(value):
            raise ArgumentError(argument, value, allowed)
        return float(value)

    return check


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    # not math.isfinite, which torch.compile cannot trace where a number is a symbol
    return is_real and -math.inf < value < math.inf


def boolean(argument: str, value: Any) -> bool:
    """Check for True or False."""
    if not isinstance(value, bool):
        raise ArgumentError(argument, value, "True or False")
    return value


def levels(argument: str, value: Any) -> tuple[float, ...]:
    """Check for numbers in ascending order, two at least."""
    if not isinstance(value, Iterable) or not all(map(_is_number, value)):
        raise ArgumentError(argument, value, "two or more numbers in ascending order")
    return check_levels(tuple(value), argument)


def plain_values(argument: str, value: Any) -> Any:
    """Check for a mapping of what YAML can hold, and copy it."""
    if not isinstance(value, dict) or not _is_plain(value):
        allowed = "a mapping of names to numbers, strings, lists and mappings"
        raise ArgumentError(argument, value, allowed)
    return copy.deepcopy(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
