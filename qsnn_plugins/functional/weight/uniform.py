"""Symmetric uniform weight quantization."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.autograd import Function
from qsnn_plugins.functional.scale import (
    check_bits,
    check_floating,
    integer_codes,
    scale_like,
    wide,
)

__all__ = ["UniformGradient", "uniform", "uniform_codes"]

UniformGradient = Literal["straight_through", "clipped_straight_through"]


def _nearest(w: Tensor, scale: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return the integer of each weight, as a float, and the value of one; 0 steps mean signs."""
    if steps == 0:
        code = torch.where(w < 0, -1.0, 1.0).to(w.dtype)
        return torch.where(w.isnan(), w, code), scale
    # a silent layer has scale 0: its weights are 0 by any divisor
    divisor = scale.clamp(min=torch.finfo(scale.dtype).tiny)
    return torch.round((w / divisor).clamp(-1, 1) * steps), scale / steps


class _Uniform(Function):
    @staticmethod
    def forward(
        w: Tensor, scale: Tensor, steps: int, gradient: UniformGradient
    ) -> tuple[Tensor, Tensor]:
        code, unit = _nearest(w, scale, steps)
        return code * unit, code

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        w, scale, ctx.steps, ctx.gradient = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(w, scale, output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        w, scale, code = ctx.saved_tensors
        inside = w.abs() <= scale
        grad_w = grad if ctx.gradient == "straight_through" else grad * inside
        grad_scale = None
        if ctx.needs_input_grad[1]:
            # a silent layer has a scale of 0, and weights of 0 at it
            share = torch.where(inside & (scale > 0), w / scale, 0.0)
            slope = code if ctx.steps == 0 else code / ctx.steps - share
            grad_scale = (grad * slope).sum_to_size(scale.shape)
        return grad_w, grad_scale, None, None


def uniform(
    w: Tensor,
    scale: Tensor | float,
    bits: int = 4,
    gradient: UniformGradient = "clipped_straight_through",
) -> Tensor:
    r"""Weights quantized to symmetric uniform levels (bit budget Eq. 5, with a corrected step).

        w_q = γ Δ round(clip(w / γ, -1, 1) / Δ),    Δ = 1 / (2^(b-1) - 1)

    The printed Δ = 2^(T-1) is above 1 and cannot give weights within [-1, 1]. With the corrected
    step there are 2^b - 1 levels, including 0. The paper has no scale, that is γ = 1; a scale per
    layer or per channel is needed for weights far below 1. One bit is sign(w) γ, with sign(0) = +1,
    because rounding would need three levels.

    Backward: ∂w_q/∂w = 1, or 1 where |w| <= γ if clipped; ∂w_q/∂γ = sgn(w) where |w| > γ, else
    (w_q - w) / γ; with one bit sign(w).

    Args:
        w: Weights, any shape.
        scale: γ above 0, a number or a tensor that broadcasts to `w`; a tensor's may be 0, for a
            silent layer.
        bits: b from 1 to 8.
        gradient: "straight_through" or "clipped_straight_through".

    Returns:
        Quantized weights, shape and dtype of `w`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> uniform(torch.tensor([-0.7, 0.1, 0.2, 5.0]), torch.tensor(0.6), bits=3)
        tensor([-0.6000,  0.0000,  0.2000,  0.6000])
        >>> uniform(torch.tensor([-0.7, 0.1]), torch.tensor(0.5), bits=1)
        tensor([-0.5000,  0.5000])
    """
    check_bits("bits", bits)
    check_floating("w", w)
    if gradient not in get_args(UniformGradient):
        raise ArgumentError("gradient", gradient, f"one of {', '.join(get_args(UniformGradient))}")
    x = wide(w)
    quantized, _ = _Uniform.apply(x, scale_like(x, "scale", scale), 2 ** (bits - 1) - 1, gradient)
    return quantized.to(w.dtype)


def uniform_codes(w: Tensor, scale: Tensor | float, bits: int = 4) -> tuple[Tensor, Tensor]:
    """Integers and their unit, whose product is `uniform(w, scale, bits)` exactly.

    Args:
        w: See `uniform`.
        scale: See `uniform`.
        bits: See `uniform`.

    Returns:
        int32 codes of the shape of `w`, and the unit γ Δ of the shape of `scale`.

    Raises:
        ArgumentError: As `uniform`, or if a weight is not finite.

    Example:
        >>> uniform_codes(torch.tensor([-0.7, 0.1, 0.2, 5.0]), torch.tensor(0.6), bits=3)
        (tensor([-3,  0,  1,  3], dtype=torch.int32), tensor(0.2000))
    """
    check_bits("bits", bits)
    check_floating("w", w)
    code, unit = _nearest(wide(w), scale_like(wide(w), "scale", scale), 2 ** (bits - 1) - 1)
    return integer_codes(code, w), unit
