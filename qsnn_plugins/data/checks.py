"""Checks of arguments for data modules and augmentations.

Each returns the value, or raises ArgumentError.
"""

from __future__ import annotations

import math
import numbers

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec.checks import as_integer, as_sides, items, number


def at_least(argument: str, value: int, low: int) -> int:
    """An integer of at least `low`."""
    integer = as_integer(value)
    if integer is None or integer < low:
        raise ArgumentError(argument, value, f"an integer of at least {low}")
    return integer


def one_of(argument: str, value: str, allowed: tuple[str, ...]) -> str:
    """One of the words in `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise ArgumentError(argument, value, " or ".join(repr(word) for word in allowed))
    return value


def positive(argument: str, value: float) -> float:
    """A finite number above 0."""
    return number("a finite number above 0", lambda given: given > 0)(argument, value)


def probability(argument: str, value: float) -> float:
    """A number from 0 to 1."""
    return number("a probability from 0 to 1", lambda given: 0 <= given <= 1)(argument, value)


def acute_angle(argument: str, value: float) -> float:
    """Degrees from 0 to below 90."""
    return number("a number from 0 to below 90", lambda given: 0 <= given < 90)(argument, value)


def interval(argument: str, value: tuple[float, float], whole: bool = False) -> None:
    """Raise an error unless a value is two numbers from 0 on, and the first the smaller."""
    kind = numbers.Integral if whole else numbers.Real
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    if not (
        is_pair
        and all(isinstance(n, kind) and not isinstance(n, bool) for n in value)
        and 0 <= value[0] <= value[1] < math.inf
    ):
        what = "integers" if whole else "finite numbers"
        raise ArgumentError(argument, value, f"two {what} from 0 on, the smallest and the largest")


def height_width(argument: str, value: int | tuple[int, int]) -> tuple[int, int]:
    """(H, W) in pixels; one integer means a square.

    Example:
        >>> height_width("size", 48)
        (48, 48)
    """
    sides = as_sides(items(value) or (value, value))
    if sides is None:
        raise ArgumentError(argument, value, "one positive integer, or (height, width)")
    return sides
