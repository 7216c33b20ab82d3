"""Membrane quantizers with given levels.

Quantizers of k bits with a scale are in `qsnn_plugins.functional.membrane.uniform`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.debug import refuse_nan
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.autograd import Function
from qsnn_plugins.functional.membrane.stacked import (
    TERNARY,
    MembraneGradient,
    check_gradient,
    check_levels,
    midpoints,
    slope,
)
from qsnn_plugins.functional.scale import cast, check_floating, wide
from qsnn_plugins.functional.surrogate import SurrogateKind

__all__ = ["RELEASED_LEVELS", "clip_membrane", "nearest_level", "pruned_level"]

RELEASED_LEVELS = (-3.0, -2.0, -1.0, 0.0, 1.0)  # the default of IM-SNN's released code
_FEW = 8  # up to here a comparison a level beats a binary search


def _round_to_level(u: Tensor, levels: Sequence[float]) -> Tensor:
    edges = midpoints(levels)
    if len(levels) > _FEW:
        # edges between close levels are lost in half precision
        exact = wide(u).contiguous()  # torch copies it otherwise, and warns
        index = torch.bucketize(exact, torch.tensor(edges, dtype=exact.dtype, device=u.device))
        q = torch.tensor(levels, dtype=u.dtype, device=u.device)[index]
        return torch.where(u.isnan(), u, q)
    # comparisons with NaN are false, so a NaN stays itself; edges are not rounded to half precision
    exact = wide(u)
    q = torch.where(exact > edges[-1], levels[-1], exact)
    for level, edge in zip(levels[-2::-1], edges[::-1], strict=True):
        q = torch.where(exact <= edge, level, q)
    return cast(q, u.dtype)


class _NearestLevel(Function):
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
        if ctx.gradient != "straight_through":
            grad = grad * slope(u, ctx.levels, ctx.gradient, ctx.surrogate, ctx.smoothness)
        return grad, None, None, None, None


def nearest_level(
    u: Tensor,
    levels: Sequence[float] = TERNARY,
    gradient: MembraneGradient = "stacked",
    surrogate: SurrogateKind = "sigmoid",
    smoothness: float = 2.0,
) -> Tensor:
    r"""Membrane rounded to the nearest level (IM-SNN Eq. 5 and Algorithm 1).

    Ties are rounded down. Membranes beyond the outer levels are clipped to them. For (-1, 0, 1)
    this is

        Q(u) = -1 (u <= -0.5),  0 (-0.5 < u <= 0.5),  +1 (u > 0.5),

    which is Eq. 5 as in Algorithm 1 and in the authors' code; the printed form would store a
    resting 0 as -1. The released code's levels are `RELEASED_LEVELS`. A NaN stays NaN.

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
        >>> nearest_level(torch.tensor([-2.4, 7.0]), levels=RELEASED_LEVELS)
        tensor([-2.,  1.])
    """
    levels = check_levels(levels)
    check_gradient(gradient, surrogate, smoothness)
    check_floating("u", u)
    refuse_nan("u", u)
    return _NearestLevel.apply(u, levels, gradient, surrogate, smoothness)


def pruned_level(
    u: Tensor,
    levels: Sequence[float] = TERNARY,
    gradient: MembraneGradient = "stacked",
    surrogate: SurrogateKind = "sigmoid",
    smoothness: float = 2.0,
) -> Tensor:
    r"""Nearest level, with negative levels set to 0 (IM-SNN Eq. 12-14, SpQuant-SNN Eq. 19-20).

        mask = 1[Q(u) < 0],    stored = Q(u) (1 - mask)

    Eq. 14 prints the mask instead of its complement. Of the ternary levels, 0 and 1 remain, so one
    bit is stored. Eq. 13 also masks the spikes of these neurons, which has no effect: a membrane
    that is negative after the reset has not fired.

    Args:
        u: Membrane after reset, any shape, floating point.
        levels: See `nearest_level`; 0 must be one of them.
        gradient: See `nearest_level`; the slope is 0 where the mask is 1.
        surrogate: See `nearest_level`.
        smoothness: See `nearest_level`.

    Returns:
        The levels that remain, shape and dtype of `u`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> pruned_level(torch.tensor([-3.0, -0.6, 0.5, 0.6]))
        tensor([0., 0., 0., 1.])
    """
    if 0 not in levels:
        raise ArgumentError("levels", tuple(levels), "levels with 0 among them")
    q = nearest_level(u, levels, gradient, surrogate, smoothness)
    return torch.where(q < 0, 0.0, q)


def clip_membrane(u: Tensor, lower: float = -1.0, upper: float = 1.0) -> Tensor:
    r"""Clipped membrane without quantization (IM-SNN Table I).

        stored = min(max(u, lower), upper)

    Args:
        u: Membrane after reset, any shape, floating point.
        lower: c, the least membrane that is kept; Table I tries -5 to -1.
        upper: The greatest, above `lower`; after a hard reset V_th bounds it anyway.

    Returns:
        Clipped membrane, shape and dtype of `u`; the gradient passes within the bounds.

    Raises:
        ArgumentError: If `lower` is not below `upper`, or `u` is not floating point.

    Example:
        >>> clip_membrane(torch.tensor([-7.0, 0.3, 2.0]), lower=-5.0)
        tensor([-5.0000,  0.3000,  1.0000])
    """
    if not lower < upper:
        raise ArgumentError("lower", lower, f"a number below upper={upper}")
    check_floating("u", u)
    refuse_nan("u", u)
    return u.clamp(lower, upper)
