"""Membrane quantizers: what is stored of a membrane from one step to the next."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.surrogate import SurrogateKind, check_surrogate, derivative

__all__ = ["TERNARY", "MembraneGradient", "check_levels", "nearest_level"]

MembraneGradient = Literal["stacked", "straight_through", "clipped_straight_through"]

TERNARY = (-1.0, 0.0, 1.0)
_FEW = 8  # up to here a comparison a level beats a binary search


def check_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Return `levels` as a tuple of floats, or say what is wrong with them.

    Raises:
        ArgumentError: If there are fewer than two levels, or they do not ascend strictly.

    Example:
        >>> check_levels([-1, 0, 1])
        (-1.0, 0.0, 1.0)
    """
    values = tuple(float(level) for level in levels)
    if len(values) < 2 or any(not a < b for a, b in itertools.pairwise(values)):
        raise ArgumentError("levels", tuple(levels), "two or more numbers in ascending order")
    return values


def _midpoints(levels: Sequence[float]) -> list[float]:
    return [(a + b) / 2 for a, b in itertools.pairwise(levels)]


def _round_to_level(u: Tensor, levels: Sequence[float]) -> Tensor:
    midpoints = _midpoints(levels)
    if len(levels) > _FEW:
        index = torch.bucketize(u, torch.tensor(midpoints, dtype=u.dtype, device=u.device))
        q = torch.tensor(levels, dtype=u.dtype, device=u.device)[index]
        return torch.where(u.isnan(), u, q)
    # comparisons with NaN are false, so a NaN stays itself
    q = torch.where(u > midpoints[-1], levels[-1], u)
    for level, midpoint in zip(levels[-2::-1], midpoints[::-1], strict=True):
        q = torch.where(u <= midpoint, level, q)
    return q.to(u.dtype)


class _NearestLevel(torch.autograd.Function):
    @staticmethod
    def forward(
        u: Tensor,
        levels: tuple[float, ...],
        gradient: MembraneGradient,
        surrogate: SurrogateKind,
        smoothness: float,
    ) -> Tensor:
        return _round_to_level(u, levels)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        u, ctx.levels, ctx.gradient, ctx.surrogate, ctx.smoothness = inputs
        ctx.save_for_backward(u)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (u,) = ctx.saved_tensors
        if ctx.gradient == "straight_through":
            return grad, None, None, None, None
        if ctx.gradient == "clipped_straight_through":
            slope = ((u >= ctx.levels[0]) & (u <= ctx.levels[-1])).to(u.dtype)
        else:
            slope = stacked_derivative(u, ctx.levels, ctx.surrogate, ctx.smoothness)
        return grad * slope, None, None, None, None


def stacked_derivative(
    u: Tensor,
    levels: Sequence[float] = TERNARY,
    surrogate: SurrogateKind = "sigmoid",
    smoothness: float = 2.0,
) -> Tensor:
    r"""Stacked surrogate gradient of a membrane quantizer (IM-SNN Eq. 9 and 10).

        Q*(u) = Σ_k T p(T (u - s_k)),    s_k = (level_k + level_{k+1}) / 2

    with p the derivative of the base surrogate; the paper's is p = σ (1 - σ) and T = 2. One term
    stands at each midpoint, weighted by the height of the step there, which is 1 in the paper.

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
    total = torch.zeros_like(u)
    steps = zip(levels, levels[1:], _midpoints(levels), strict=False)
    for lower, upper, midpoint in steps:
        total += (upper - lower) * derivative(u - midpoint, surrogate, smoothness)
    return total


def nearest_level(
    u: Tensor,
    levels: Sequence[float] = TERNARY,
    gradient: MembraneGradient = "stacked",
    surrogate: SurrogateKind = "sigmoid",
    smoothness: float = 2.0,
) -> Tensor:
    r"""Membrane rounded to the nearest level (IM-SNN Eq. 5 and Algorithm 1).

    Ties go to the lower level. Beyond the outer levels the membrane is clipped to them. With
    (-1, 0, 1) this is

        Q(u) = -1 (u <= -0.5),  0 (-0.5 < u <= 0.5),  +1 (u > 0.5),

    the reading of Eq. 5 that Algorithm 1 and the authors' code share; as printed it would store a
    resting 0 as -1. A NaN stays NaN.

    Args:
        u: Membrane after reset, any shape, floating point.
        levels: Two or more levels in ascending order.
        gradient: "stacked" (Eq. 9), "straight_through" (slope 1 everywhere) or
            "clipped_straight_through" (slope 1 between the outer levels).
        surrogate: Base surrogate of the stacked gradient.
        smoothness: T of the stacked gradient, above 0.

    Returns:
        The nearest levels, shape and dtype of `u`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> nearest_level(torch.tensor([-3.0, -0.5, 0.2, 0.5, 0.6]))
        tensor([-1., -1.,  0.,  0.,  1.])
        >>> nearest_level(torch.tensor([-2.4, 7.0]), levels=(-3, -2, -1, 0, 1))
        tensor([-2.,  1.])
    """
    levels = check_levels(levels)
    if gradient not in get_args(MembraneGradient):
        raise ArgumentError("gradient", gradient, f"one of {', '.join(get_args(MembraneGradient))}")
    check_surrogate("surrogate", surrogate)
    if not smoothness > 0:
        raise ArgumentError("smoothness", smoothness, "a number above 0")
    return _NearestLevel.apply(u, levels, gradient, surrogate, smoothness)
