"""Uniform k-bit membrane quantizers with one scale per layer.

The scale is an argument here. `qsnn_plugins.nn.membrane_bits` determines it (maximum of the step,
running average or parameter).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.debug import refuse_nan
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.autograd import Function
from qsnn_plugins.functional.membrane.stacked import MembraneGradient, check_gradient, slope
from qsnn_plugins.functional.scale import cast, check_bits, check_floating
from qsnn_plugins.functional.surrogate import SurrogateKind

__all__ = [
    "average_scale",
    "step_max",
    "tanh_membrane",
    "uniform_levels",
    "uniform_membrane",
]


def step_codes(bits: int) -> tuple[int, int]:
    """Return the least and the greatest integer code of a k-bit membrane."""
    check_bits("bits", bits)
    if bits == 1:
        return 0, 1
    greatest = 2 ** (bits - 1) - 1
    return -greatest, greatest


def uniform_levels(bits: int) -> tuple[float, ...]:
    """Levels of `uniform_membrane` at scale 1, ascending.

    Args:
        bits: k, an integer from 1 to 8.

    Returns:
        -1 to 1 in 2^k - 1 levels; (0, 1) for one bit.

    Raises:
        ArgumentError: If `bits` is not allowed.

    Example:
        >>> uniform_levels(2), len(uniform_levels(8))
        ((-1.0, 0.0, 1.0), 255)
    """
    least, greatest = step_codes(bits)
    return tuple(code / greatest for code in range(least, greatest + 1))


def _wide(u: Tensor) -> torch.dtype:
    # 8 bits do not survive a round trip through the arithmetic of half precision
    return torch.promote_types(u.dtype, torch.float32)


def _over(u: Tensor, scale: Tensor) -> Tensor:
    # a silent layer has scale 0: its zeros stay zeros
    return u / scale.clamp(min=torch.finfo(scale.dtype).tiny)


class _Uniform(Function):
    @staticmethod
    def forward(
        u: Tensor,
        scale: Tensor,
        bits: int,
        gradient: MembraneGradient,
        surrogate: SurrogateKind,
        smoothness: float,
    ) -> Tensor:
        least, greatest = step_codes(bits)
        wide = scale.to(_wide(u))
        code = (_over(u.to(wide.dtype), wide) * greatest).clamp(least, greatest).round()
        return cast(wide * (code / greatest), u.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        u, scale, *ctx.how = inputs
        ctx.save_for_backward(u, scale, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        u, scale, q = ctx.saved_tensors
        bits, gradient, surrogate, smoothness = ctx.how
        over = _over(u, scale.to(u.dtype))
        each = slope(over, uniform_levels(bits), gradient, surrogate, smoothness)
        grad_scale = None
        if ctx.needs_input_grad[1]:
            of_scale = _over(q, scale.to(u.dtype)) - over * each
            grad_scale = (grad * of_scale).sum_to_size(scale.shape).to(scale.dtype)
        return grad * each, grad_scale, None, None, None, None


def uniform_membrane(
    u: Tensor,
    scale: Tensor | float = 1.0,
    bits: int = 2,
    gradient: MembraneGradient = "clipped_straight_through",
    surrogate: SurrogateKind = "sigmoid",
    smoothness: float = 2.0,
) -> Tensor:
    r"""Membrane quantized uniformly to k bits (Q-SNN Eq. 8, with a corrected number of levels).

        Q(u) = α / n · round(n · clip(u / α, -1, 1)),    n = 2^(k-1) - 1

    Eq. 8 prints n = 2^k - 1, which gives 2^(k+1) - 1 levels and k + 1 bits; with this n, which is
    that of the released code, there are 2^k - 1 levels. Two bits are ternary. One bit cannot
    represent a sign and stores 0 or α, Q(u) = α · round(clip(u / α, 0, 1)), like IM-SNN's pruned
    membrane. Ties are rounded to the even code. A silent layer, α = 0, stores zeros. A NaN stays
    NaN.

    The gradient of α is that of rounding at fixed slope r, ∂Q/∂α = Q(u) / α - r(u) u / α.

    Args:
        u: Membrane after reset, any shape, floating point.
        scale: α, a number or a tensor that broadcasts to `u`; it may require a gradient.
        bits: k, an integer from 1 to 8.
        gradient: See `nearest_level`; the paper uses the clipped straight-through gradient. The
            midpoints of a stacked gradient are between the levels, in units of α.
        surrogate: Base surrogate of the stacked gradient.
        smoothness: T of the stacked gradient, above 0.

    Returns:
        The nearest levels, shape and dtype of `u`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> uniform_membrane(torch.tensor([-9.0, 0.4, 1.1]), scale=1.5, bits=3)
        tensor([-1.5000,  0.5000,  1.0000])
    """
    check_bits("bits", bits)
    check_gradient(gradient, surrogate, smoothness)
    check_floating("u", u)
    refuse_nan("u", u)
    if not isinstance(scale, Tensor):
        if not scale > 0:
            raise ArgumentError("scale", scale, "a number above 0")
        scale = torch.tensor(scale, dtype=_wide(u), device=u.device)
    check_floating("scale", scale)
    return _Uniform.apply(u, scale, bits, gradient, surrogate, smoothness)


def tanh_membrane(u: Tensor, scale: Tensor | float, bits: int = 2) -> Tensor:
    r"""Membrane quantized to k bits after a tanh, as in Q-SNN's released code.

        Q(u) = α / n · round(n · clip(tanh(u) / α, -1, 1)),    n = 2^(k-1) - 1

    In the released code, α is max|tanh(u)|, see `step_max`. MINT learns α and shares it with the
    weights of the layer, see `functional.mint`. The quantizer is not idempotent, since each pass
    applies tanh again. The stored membrane never exceeds 1, although the threshold is 1.

    Args:
        u: Membrane after reset, any shape, floating point.
        scale: α, a number or a tensor that broadcasts to `u`.
        bits: k, an integer from 1 to 8; one bit is 0 or α as in `uniform_membrane`.

    Returns:
        Quantized membrane, shape and dtype of `u`; the slope is tanh's, straight through the
        rounding, and 0 where the clip acts.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> tanh_membrane(torch.tensor([-2.0, 0.1, 0.5]), scale=0.5, bits=2)
        tensor([-0.5000,  0.0000,  0.5000])
    """
    check_floating("u", u)
    return uniform_membrane(u.tanh(), scale, bits, "clipped_straight_through")


def step_max(u: Tensor) -> Tensor:
    """Scale of Q-SNN's released code: max|u| over the whole tensor, without gradient.

    The maximum includes the batch, so the stored membrane of a sample depends on other samples.

    Args:
        u: Membrane of one step, any shape; an empty one has the scale 0.

    Returns:
        Scalar scale.

    Example:
        >>> step_max(torch.tensor([-1.5, 0.5]))
        tensor(1.5000)
    """
    u = u.detach()
    return u.abs().amax() if u.numel() else u.new_zeros(())


def average_scale(
    scale: Tensor, initialized: Tensor, greatest: Tensor, momentum: float = 0.1
) -> tuple[Tensor, Tensor]:
    r"""Running average of the maxima of the steps, like the statistics of batch normalization.

        α ← α + m (max|u| - α),    and α ← max|u| at the first step that charged at all

    A step in which all membranes are 0, or one is not finite, changes nothing.

    Args:
        scale: α so far, scalar.
        initialized: Whether it already is an average, boolean scalar.
        greatest: max|u| of the step, scalar, see `step_max`.
        momentum: m, above 0 and up to 1.

    Returns:
        The next α, and whether it is an average.

    Example:
        >>> average_scale(torch.tensor(1.0), torch.tensor(True), torch.tensor(3.0), momentum=0.5)
        (tensor(2.), tensor(True))
    """
    average = torch.where(initialized, scale + momentum * (greatest - scale), greatest)
    has_charged = (greatest > 0) & greatest.isfinite()
    return torch.where(has_charged, average, scale), initialized | has_charged
