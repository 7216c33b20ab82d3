"""Checks of single values: each takes the argument's name and a value, and returns the value."""

from __future__ import annotations

import copy
import math
import numbers
import operator
import sys
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, get_args

import numpy as np

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.membrane.stacked import check_levels

__all__ = [
    "as_integer",
    "as_sides",
    "boolean",
    "choice",
    "height_and_width",
    "integer",
    "items",
    "levels",
    "number",
    "plain_values",
]

Check = Callable[[str, Any], Any]


def as_integer(value: Any) -> int | None:
    """An integer of any type, such as numpy's, as an int; None for all else, booleans included."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def items(value: Any) -> tuple[Any, ...]:
    """What a sequence holds; nothing of a single value, and of what has no order."""
    if not isinstance(value, Iterable) or isinstance(value, Mapping | Set | bytes):
        return ()
    try:
        return tuple(value)
    except TypeError:  # a tensor or an array of one value
        return ()


def choice(choices: Any) -> Check:
    """Check for one of a Literal's or a sequence's values."""
    values = get_args(choices) or tuple(choices)

    def check(argument: str, value: Any) -> Any:
        whole = as_integer(value)
        plain = value if whole is None else whole
        # 1 == True == 1.0: a value of another type is another value
        if not any(type(plain) is type(v) and plain == v for v in values):
            raise ArgumentError(argument, value, f"one of {', '.join(map(str, values))}")
        return plain

    return check


def integer(least: int, most: int | None = None) -> Check:
    """Check for an integer from `least`, to `most` where it is given."""
    allowed = f"an integer from {least}" + (f" to {most}" if most is not None else "")

    def check(argument: str, value: Any) -> int:
        whole = as_integer(value)
        if whole is None or whole < least or (most is not None and whole > most):
            raise ArgumentError(argument, value, allowed)
        return whole

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
    is_finite = is_real and -math.inf < value < math.inf
    return is_finite and not (isinstance(value, int) and abs(value) > sys.float_info.max)


def boolean(argument: str, value: Any) -> bool:
    """Check for True or False."""
    if not isinstance(value, bool):
        raise ArgumentError(argument, value, "True or False")
    return value


def levels(argument: str, value: Any) -> tuple[float, ...]:
    """Check for numbers in ascending order, two at least."""
    given = items(value)
    if not given or not all(map(_is_number, given)):
        raise ArgumentError(argument, value, "two or more numbers in ascending order")
    return check_levels(given, argument)


def height_and_width(argument: str, value: Any) -> tuple[int, int]:
    """Check for the two sides of a map, in pixels."""
    sides = as_sides(value)
    if sides is None:
        raise ArgumentError(argument, value, "(height, width), two integers from 1")
    return sides


def as_sides(value: Any) -> tuple[int, int] | None:
    """Two integers from 1, of any type, as a pair of int; None for all else."""
    given = items(value)
    sides = [side for side in map(as_integer, given) if side is not None and side >= 1]
    return (sides[0], sides[1]) if len(sides) == len(given) == 2 else None


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
