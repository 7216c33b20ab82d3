"""The sigmoid quantizer: a sum of sigmoids that sharpen into steps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.autograd import Function
from qsnn_plugins.functional.scale import check_floating, integer_codes, scale_like, wide

__all__ = ["linear_temperature", "sigmoid_quantizer", "sigmoid_quantizer_codes"]


def linear_temperature(
    epoch: int, start: float = 1.0, rate: float = 2.0, limit: float = 2000.0
) -> float:
    """Temperature of the sigmoids, T = start + rate · epoch, at most `limit`.

    Shymyrbay et al. start at 1 and add 2 per epoch. Yang's code has T = rate (epoch + 1), which is
    start = rate, with a rate of 5 or 20 and a limit of 2000.

    Args:
        epoch: Number of finished epochs, from 0.
        start: T of the first epoch, above 0.
        rate: Increase per epoch, 0 or above.
        limit: Largest T.

    Returns:
        T.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> linear_temperature(0), linear_temperature(10), linear_temperature(10, start=5, rate=5)
        (1.0, 21.0, 55.0)
    """
    if epoch < 0:
        raise ArgumentError("epoch", epoch, "a number from 0")
    if not start > 0:
        raise ArgumentError("start", start, "a number above 0")
    if not rate >= 0:
        raise ArgumentError("rate", rate, "a number from 0")
    return float(min(start + rate * epoch, limit))


def _sigmoid(x: Tensor, threshold: Tensor, temperature: Tensor | float, most: float) -> Tensor:
    return (x - threshold).mul_(temperature).clamp_(-most, most).sigmoid_()


def _level_and_slope(
    x: Tensor,
    thresholds: Tensor,
    temperature: Tensor,
    heights: tuple[int, ...],
    slope_temperature: float | None,
    most: float,
) -> tuple[Tensor, Tensor]:
    """Return Σ s_i σ_i - o, and Σ s_i σ_i (1 - σ_i), of weights times β."""
    level, slope = torch.full_like(x, -sum(heights) / 2), torch.zeros_like(x)
    for threshold, height in zip(thresholds, heights, strict=True):
        y = _sigmoid(x, threshold, temperature, most)
        level.add_(y, alpha=height)
        if slope_temperature is not None:
            y = _sigmoid(x, threshold, slope_temperature, most)
        slope.addcmul_(y, 1 - y, value=height)
    return level, slope


class _Soft(Function):
    @staticmethod
    def forward(
        w: Tensor,
        alpha: Tensor,
        beta: Tensor,
        thresholds: Tensor,
        temperature: Tensor,
        heights: tuple[int, ...],
        slope_temperature: float | None,
        max_exponent: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        how = thresholds, temperature, heights, slope_temperature, max_exponent
        level, slope = _level_and_slope(beta * w, *how)
        # the slope is kept for the backward, which would need every sigmoid once more
        return alpha * level, level, slope

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        w, alpha, beta, thresholds, temperature, *ctx.how = inputs
        _, level, slope = output
        ctx.mark_non_differentiable(level, slope)
        ctx.save_for_backward(w, alpha, beta, thresholds, temperature, level, slope)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        w, alpha, beta, thresholds, temperature, level, slope = ctx.saved_tensors
        if torch.is_grad_enabled():  # what was kept is constant, for second derivatives
            level, slope = _level_and_slope(beta * w, thresholds, temperature, *ctx.how)
        through = grad * alpha * temperature * slope
        grad_alpha = (grad * level).sum_to_size(alpha.shape)
        return through * beta, grad_alpha, (through * w).sum_to_size(beta.shape), *[None] * 5


def _hard(w: Tensor, beta: Tensor, thresholds: Tensor, levels: Sequence[int]) -> Tensor:
    x = beta * w
    table = torch.tensor(levels, dtype=w.dtype, device=w.device)
    # torch copies what is not contiguous, and warns
    codes = torch.bucketize(x.contiguous(), thresholds, right=True)
    return torch.where(x.isnan(), x, table[codes])


def _check(w: Tensor, thresholds: Tensor | Sequence[float], levels: Sequence[int]) -> Tensor:
    check_floating("w", w)
    if len(levels) < 2 or any(not a < b for a, b in itertools.pairwise(levels)):
        raise ArgumentError("levels", tuple(levels), "two or more integers in ascending order")
    if len(thresholds) != len(levels) - 1:
        raise ArgumentError(
            "thresholds", len(thresholds), f"{len(levels) - 1} thresholds, one per step"
        )
    return torch.as_tensor(thresholds, dtype=wide(w).dtype, device=w.device)


def sigmoid_quantizer(
    w: Tensor,
    alpha: Tensor | float,
    beta: Tensor | float,
    thresholds: Tensor | Sequence[float],
    levels: Sequence[int],
    temperature: Tensor | float = 1.0,
    hard: bool = False,
    slope_temperature: float | None = None,
    max_exponent: float = 30.0,
) -> Tensor:
    r"""Weights as a linear combination of sigmoids or steps (Shymyrbay et al., Eq. 6-9, corrected).

        soft   w_q = α (Σ_i s_i σ(T (β w - b_i)) - o)      in training
        hard   w_q = α (Σ_i s_i 1[β w >= b_i] - o)         at inference

    with s_i the difference of neighbouring levels and o = 1/2 Σ s_i. Eq. 9 is printed without T.
    The gradient is that of the soft form; with σ_i = σ(T (β w - b_i)) and g = ∂L/∂w_q,

        ∂L/∂w = g α β T Σ s_i σ_i (1 - σ_i)     ∂L/∂α = Σ_w g w_q / α
        ∂L/∂β = Σ_w g α w T Σ s_i σ_i (1 - σ_i)

    which are Eq. 13-15 with g_i = α s_i σ_i; the printed equations have w_q instead of w. The hard
    form has only the gradient of α.

    Args:
        w: Weights, any shape.
        alpha: α, a number or a scalar tensor.
        beta: β, a number or a scalar tensor.
        thresholds: b_1 .. b_n in ascending order.
        levels: n + 1 integers in ascending order, symmetric around 0.
        temperature: T above 0.
        hard: Whether steps replace the sigmoids.
        slope_temperature: T of the σ_i in the backward, if it differs: Yang's code uses 1 for
            binary weights, so that all of them keep a gradient.
        max_exponent: Bound of |T (β w - b_i)|; Yang's code has 10, at which a sigmoid is still
            5e-5 away from a step.

    Returns:
        Quantized weights, shape and dtype of `w`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> one, w = torch.tensor(1.0), torch.tensor([-0.9, 0.2, 0.6])
        >>> sigmoid_quantizer(w, one, one, (-0.5, 0.5), (-1, 0, 1), temperature=2.0)
        tensor([-0.6327,  0.1565,  0.4501])
        >>> sigmoid_quantizer(w, one, one, (-0.5, 0.5), (-1, 0, 1), hard=True)
        tensor([-1.,  0.,  1.])
    """
    edges = _check(w, thresholds, levels)
    if isinstance(temperature, float | int) and not temperature > 0:
        raise ArgumentError("temperature", temperature, "a number above 0")
    if not max_exponent > 0:
        raise ArgumentError("max_exponent", max_exponent, "a number above 0")
    x = wide(w)
    alpha, beta = scale_like(x, "alpha", alpha), scale_like(x, "beta", beta)
    if hard:
        return (_hard(x, beta, edges, levels) * alpha).to(w.dtype)
    heights = tuple(b - a for a, b in itertools.pairwise(levels))
    sharpness = torch.as_tensor(temperature, dtype=x.dtype, device=x.device)
    quantized, *_ = _Soft.apply(
        x, alpha, beta, edges, sharpness, heights, slope_temperature, max_exponent
    )
    return quantized.to(w.dtype)


def sigmoid_quantizer_codes(
    w: Tensor,
    alpha: Tensor | float,
    beta: Tensor | float,
    thresholds: Tensor | Sequence[float],
    levels: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Levels and their unit α, whose product is the hard `sigmoid_quantizer` exactly.

    Args:
        w: See `sigmoid_quantizer`.
        alpha: See `sigmoid_quantizer`.
        beta: See `sigmoid_quantizer`.
        thresholds: See `sigmoid_quantizer`.
        levels: See `sigmoid_quantizer`.

    Returns:
        int32 codes of the shape of `w`, and α.

    Raises:
        ArgumentError: As `sigmoid_quantizer`, or if a weight is not finite.

    Example:
        >>> alpha, beta = torch.tensor(0.1), torch.tensor(1.0)
        >>> sigmoid_quantizer_codes(torch.tensor([-0.9, 0.2]), alpha, beta, (0.0,), (-1, 1))
        (tensor([-1,  1], dtype=torch.int32), tensor(0.1000))
    """
    edges = _check(w, thresholds, levels)
    x = wide(w)
    code = _hard(x, scale_like(x, "beta", beta), edges, levels)
    return integer_codes(code, w), scale_like(x, "alpha", alpha)
