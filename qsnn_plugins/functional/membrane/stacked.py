"""The stacked surrogate gradient: one smooth bump at each step of a membrane quantizer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.surrogate import SurrogateKind, check_surrogate, derivative

__all__ = ["TERNARY", "MembraneGradient", "check_levels", "slope", "stacked_derivative"]

MembraneGradient = Literal["stacked", "straight_through", "clipped_straight_through"]

TERNARY = (-1.0, 0.0, 1.0)


def check_levels(levels: Sequence[float], argument: str = "levels") -> tuple[float, ...]:
    """Return `levels` as a tuple of floats, or say what is wrong with them.

    Raises:
        ArgumentError: If there are fewer than two levels, or they do not ascend strictly.

    Example:
        >>> check_levels([-1, 0, 1])
        (-1.0, 0.0, 1.0)
    """
    values = tuple(float(level) for level in levels)
    if len(values) < 2 or any(not a < b for a, b in itertools.pairwise(values)):
        raise ArgumentError(argument, tuple(levels), "two or more numbers in ascending order")
    return values


def check_gradient(gradient: str, surrogate: str, smoothness: float) -> None:
    """Raise an error unless the three describe a gradient of a membrane quantizer.

    Raises:
        ArgumentError: If one of them is not allowed.
    """
    if gradient not in get_args(MembraneGradient):
        raise ArgumentError("gradient", gradient, f"one of {', '.join(get_args(MembraneGradient))}")
    if gradient != "stacked":  # the others read neither
        return
    check_surrogate("surrogate", surrogate)
    if not smoothness > 0:
        raise ArgumentError("smoothness", smoothness, "a number above 0")


def midpoints(levels: Sequence[float]) -> list[float]:
    """Return the points halfway between neighbouring levels (IM-SNN Eq. 10)."""
    return [(a + b) / 2 for a, b in itertools.pairwise(levels)]


def stacked_derivative(
    u: Tensor,
    levels: Sequence[float] = TERNARY,
    surrogate: SurrogateKind = "sigmoid",
    smoothness: float = 2.0,
) -> Tensor:
    r"""Stacked surrogate gradient of a membrane quantizer (IM-SNN Eq. 9 and 10).

        Q*(u) = Σ_k T p(T (u - s_k)),    s_k = (level_k + level_{k+1}) / 2

    where p is the derivative of the base surrogate; the paper uses p = σ (1 - σ) and T = 2. There
    is one term per midpoint, weighted with the height of the step, which is 1 in the paper.

    Args:
        u: Membrane before quantization, any shape.
        levels: Levels in ascending order.
        surrogate: Base surrogate (IM-SNN Table II tries four).
        smoothness: T > 0. Not the number of time steps.

    Returns:
        Q*(u), shape of `u`.

    Raises:
        ArgumentError: If `levels`, `surrogate` or `smoothness` is not allowed.

    Example:
        >>> stacked_derivative(torch.tensor([0.5]), smoothness=2.0)  # 2 (σ'(0) + σ'(2))
        tensor([0.7100])
    """
    levels = check_levels(levels)
    check_gradient("stacked", surrogate, smoothness)
    total = torch.zeros_like(u)
    for lower, upper, midpoint in zip(levels, levels[1:], midpoints(levels), strict=False):
        total += (upper - lower) * derivative(u - midpoint, surrogate, smoothness)
    return total


def slope(
    u: Tensor,
    levels: Sequence[float],
    gradient: MembraneGradient,
    surrogate: SurrogateKind,
    smoothness: float,
) -> Tensor:
    """Surrogate slope of rounding to `levels`.

    Args:
        u: Membrane before quantization, any shape.
        levels: Levels in ascending order.
        gradient: "stacked" (`stacked_derivative`), "straight_through" (1 everywhere) or
            "clipped_straight_through" (1 between the outer levels, 0 beyond).
        surrogate: Base surrogate of the stacked gradient.
        smoothness: T of the stacked gradient.

    Returns:
        Slope, shape and dtype of `u`.

    Example:
        >>> slope(torch.tensor([0.0, 2.0]), TERNARY, "clipped_straight_through", "sigmoid", 2.0)
        tensor([1., 0.])
    """
    if gradient == "stacked":
        return stacked_derivative(u, levels, surrogate, smoothness)
    if gradient == "straight_through":
        return torch.ones_like(u)
    return ((u >= levels[0]) & (u <= levels[-1])).to(u.dtype)
