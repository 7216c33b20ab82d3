"""The mean over seeds and its confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import stdev

from qsnn_plugins.errors import ArgumentError

__all__ = ["interval_of_mean"]

# 97.5 % points of Student's t for 1 to 10 degrees of freedom (Fisher and Yates, Table III)
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_Z = 1.959964


def interval_of_mean(values: Sequence[float]) -> float:
    """Return half the 95 % confidence interval of a mean, by Student's t.

    The mean lies within ± t s / √n, where s is the standard deviation of n values and t the 97.5 %
    point of Student's distribution with n - 1 degrees of freedom.

    Args:
        values: One per seed.

    Returns:
        Half of the interval; 0 for one value, which has none.

    Raises:
        ArgumentError: If there is no value.

    Example:
        >>> round(interval_of_mean([94.0, 95.0, 96.0]), 3)
        2.484
    """
    if not values:
        raise ArgumentError("values", list(values), "one value or more")
    freedom = len(values) - 1
    if not freedom:
        return 0.0
    return _student(freedom) * stdev(values) / sqrt(len(values))


def _student(freedom: int) -> float:
    """97.5 % point; beyond the table by Abramowitz and Stegun 26.7.5."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    first = (_Z**3 + _Z) / 4
    second = (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / 96
    return _Z + first / freedom + second / freedom**2
