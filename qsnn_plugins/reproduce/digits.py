"""Printed numbers as strings, and whether a computed value has their digits."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Literal

__all__ = ["compare", "is_printed_number"]

Match = Literal["agrees", "truncated", "differs"]


def is_printed_number(text: object) -> bool:
    """Whether it is a string that holds a number and nothing else."""
    try:
        return isinstance(text, str) and Decimal(text).is_finite()
    except InvalidOperation:
        return False


def compare(printed: str, computed: float) -> Match:
    """Compare a computed value with the digits of a printed value.

    Args:
        printed: A number as printed; "6.50" has two decimals.
        computed: What it should be.

    Returns:
        "agrees" where the computed value rounds to the printed digits, "truncated" where it has
        them when what follows is cut off, else "differs".

    Example:
        >>> compare("6.24", 6.243), compare("12.48", 12.486), compare("5.33", 5.506)
        ('agrees', 'truncated', 'differs')
    """
    digits = Decimal(printed)
    step = Decimal(1).scaleb(digits.as_tuple().exponent)  # type: ignore[arg-type]
    value = Decimal(repr(float(computed)))
    if value.quantize(step, ROUND_HALF_UP) == digits:
        return "agrees"
    return "truncated" if value.quantize(step, ROUND_DOWN) == digits else "differs"
