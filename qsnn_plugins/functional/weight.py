"""Weight quantizers."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError

__all__ = ["power_of_two", "power_of_two_grid", "round_to_power_of_two"]

MAX_EXPONENT = 14  # 2^-14 is the least magnitude; 5 bits reach it, more bits add nothing


@cache
def power_of_two_grid(bits: int) -> tuple[float, ...]:
    """Magnitudes of the power-of-two grid (SpQuant-SNN Eq. 17), ascending from 0 to 1.

        G = {0} ∪ {2^-i : i = 0 .. 2^(b-1) - 2}

    With both signs these are 2^b - 1 levels. The exponent is capped at 14: the 8-bit grid as
    written would run to 2^-126, below anything that a weight can use, so from 6 bits on the grid
    is that of 5 bits.

    Args:
        bits: b, an integer from 2 to 8.

    Returns:
        Magnitudes in ascending order.

    Raises:
        ArgumentError: If `bits` is not an integer from 2 to 8.

    Example:
        >>> power_of_two_grid(3)
        (0.0, 0.25, 0.5, 1.0)
    """
    if not isinstance(bits, int) or not 2 <= bits <= 8:
        raise ArgumentError("bits", bits, "an integer from 2 to 8")
    smallest = min(2 ** (bits - 1) - 2, MAX_EXPONENT)
    return (0.0, *(2.0**-i for i in range(smallest, -1, -1)))


class _RoundToPowerOfTwo(torch.autograd.Function):
    @staticmethod
    def forward(alpha: Tensor) -> Tensor:
        return torch.exp2(torch.round(torch.log2(alpha)))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def round_to_power_of_two(alpha: Tensor) -> Tensor:
    """Scale α rounded to 2^round(log2 α), straight-through (SpQuant-SNN Eq. 14).

    Args:
        alpha: Scales above 0, any shape.

    Returns:
        Powers of two, shape of `alpha`.

    Example:
        >>> round_to_power_of_two(torch.tensor([0.3, 3.0]))
        tensor([0.2500, 4.0000])
    """
    return _RoundToPowerOfTwo.apply(alpha)


class _PowerOfTwo(torch.autograd.Function):
    @staticmethod
    def forward(w: Tensor, alpha: Tensor, grid: tuple[float, ...]) -> tuple[Tensor, Tensor]:
        magnitudes = torch.tensor(grid, dtype=w.dtype, device=w.device)
        midpoints = (magnitudes[1:] + magnitudes[:-1]) / 2
        ratio = w / alpha
        level = torch.sign(ratio) * magnitudes[torch.bucketize(ratio.abs(), midpoints)]
        return alpha * level, level

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        w, alpha, _ = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(w, alpha, output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        w, alpha, level = ctx.saved_tensors
        grad_alpha = None
        if ctx.needs_input_grad[1]:
            ratio = w / alpha
            slope = torch.where(ratio.abs() > 1, torch.sign(ratio), level - ratio)
            grad_alpha = (grad * slope).sum_to_size(alpha.shape)
        return grad, grad_alpha, None


def power_of_two(w: Tensor, alpha: Tensor, bits: int = 4) -> Tensor:
    r"""Weights on a grid of powers of two (SpQuant-SNN Eq. 15, 16 and 18; APoT).

        c = clip(w / α, -1, 1),   w_q = α sgn(c) argmin_{g ∈ G} | |c| - g |

    Ties go to the smaller magnitude. Backward, as in APoT's code: ∂w_q/∂w = 1 everywhere, and
    ∂w_q/∂α = sgn(w) where |w| > α, else (w_q - w) / α.

    Args:
        w: Weights, any shape.
        alpha: Clipping bound α above 0, a tensor that broadcasts to `w`.
        bits: b of `power_of_two_grid`.

    Returns:
        Quantized weights, shape and dtype of `w`.

    Raises:
        ArgumentError: If `bits` is not an integer from 2 to 8.

    Example:
        >>> power_of_two(torch.tensor([-3.0, -0.6, 0.05, 0.3]), torch.tensor(2.0), bits=3)
        tensor([-2.0000, -0.5000,  0.0000,  0.5000])
    """
    quantized, _ = _PowerOfTwo.apply(w, alpha, power_of_two_grid(bits))
    return quantized
