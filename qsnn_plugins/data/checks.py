"""Checks of the arguments that every data module shares."""

from __future__ import annotations

import math

from qsnn_plugins.errors import ArgumentError


def at_least(argument: str, value: int, low: int) -> int:
    """Return `value` if it is an integer of at least `low`.

    Raises:
        ArgumentError: It is not.

    Example:
        >>> at_least("time_steps", 4, 1)
        4
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ArgumentError(argument, value, f"an integer of at least {low}")
    return value


def one_of(argument: str, value: str, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of the words in `allowed`.

    Raises:
        ArgumentError: It is not.

    Example:
        >>> one_of("bin_by", "time", ("time", "count"))
        'time'
    """
    if value not in allowed:
        raise ArgumentError(argument, value, " or ".join(repr(word) for word in allowed))
    return value


def positive(argument: str, value: float) -> float:
    """Return `value` if it is a finite number above 0.

    Raises:
        ArgumentError: It is not.

    Example:
        >>> positive("threshold", 0.25)
        0.25
    """
    if not (math.isfinite(value) and value > 0):
        raise ArgumentError(argument, value, "a finite number above 0")
    return value


def probability(argument: str, value: float) -> float:
    """Return `value` if it is a probability.

    Raises:
        ArgumentError: It is not.

    Example:
        >>> probability("flip", 0.5)
        0.5
    """
    if not 0 <= value <= 1:
        raise ArgumentError(argument, value, "a probability from 0 to 1")
    return value


def acute_angle(argument: str, value: float) -> float:
    """Return `value` if it is an acute angle in degrees.

    Raises:
        ArgumentError: It is not.

    Example:
        >>> acute_angle("degrees", 30.0)
        30.0
    """
    if not 0 <= value < 90:
        raise ArgumentError(argument, value, "a number from 0 to below 90")
    return value


def height_width(argument: str, value: int | tuple[int, int]) -> tuple[int, int]:
    """Return (H, W) in pixels; one integer means a square.

    Raises:
        ArgumentError: A side is not an integer of at least 1, or there are not two of them.

    Example:
        >>> height_width("size", 48)
        (48, 48)
    """
    sides = (value, value) if isinstance(value, int) else tuple(value)
    whole = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    if len(sides) != 2 or not whole or min(sides) < 1:
        raise ArgumentError(argument, value, "one positive integer, or (height, width)")
    return sides[0], sides[1]
