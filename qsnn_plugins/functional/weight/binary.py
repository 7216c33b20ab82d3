"""Binary weights, and a gradient estimator that sharpens during training."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.autograd import Function
from qsnn_plugins.functional.scale import check_floating, integer_codes, scale_like, wide

__all__ = ["BinaryGradient", "binary", "binary_codes", "ede_schedule"]

BinaryGradient = Literal["straight_through", "clipped_straight_through", "ede"]


def _sign(w: Tensor) -> Tensor:
    # -0 + 0 is +0; 0 times what is bounded is 0, or NaN; a third of the time of two `where`
    bounded = w.clamp(-1, 1) + 0.0
    # not in place at the end, see `scale.cast`
    return torch.ones_like(w).copysign_(bounded).add(bounded, alpha=0)


class _Sign(Function):
    @staticmethod
    def forward(w: Tensor, gradient: BinaryGradient, t: Any, k: Any) -> Tensor:
        return _sign(w)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        w, ctx.gradient, ctx.t, ctx.k = inputs
        ctx.save_for_backward(w)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (w,) = ctx.saved_tensors
        if ctx.gradient == "clipped_straight_through":
            grad = grad * (w.abs() <= 1)
        elif ctx.gradient == "ede":
            grad = grad * (ctx.k * ctx.t * (1 - torch.tanh(ctx.t * w).square()))
        return grad, None, None, None


def binary(
    w: Tensor,
    scale: Tensor | float,
    gradient: BinaryGradient = "clipped_straight_through",
    t: Tensor | float = 1.0,
    k: Tensor | float = 1.0,
) -> Tensor:
    r"""Binary weights with a scale (Q-SNN Eq. 6 and 7).

        w_q = γ sign(w),    sign(0) = +1

    The gradient of the sign, which the paper does not print:

        straight_through            1
        clipped_straight_through    1[|w| <= 1]
        ede                         k t (1 - tanh²(t w))    (IR-Net, as in Q-SNN's released code)

    and ∂w_q/∂γ = sign(w). The paper's γ is `mean_magnitude(w, "channel")`. The released code uses
    torch.sign, which gives 0 for a weight of exactly 0, a third level that one bit cannot
    represent. Here it is +1, as in the paper.

    Args:
        w: Weights, shape [out, ...].
        scale: γ, a number above 0 or a tensor that broadcasts to `w`.
        gradient: Name of the gradient.
        t: t of the error decay estimator, above 0, see `ede_schedule`.
        k: k of the error decay estimator, above 0.

    Returns:
        Quantized weights, shape and dtype of `w`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> w = torch.tensor([[0.5, -1.5]], requires_grad=True)
        >>> q = binary(w, torch.tensor(2.0))
        >>> q.sum().backward()
        >>> q.tolist(), w.grad.tolist()
        ([[2.0, -2.0]], [[2.0, 0.0]])
    """
    check_floating("w", w)
    if gradient not in get_args(BinaryGradient):
        raise ArgumentError("gradient", gradient, f"one of {', '.join(get_args(BinaryGradient))}")
    x = wide(w)
    return (_Sign.apply(x, gradient, t, k) * scale_like(x, "scale", scale)).to(w.dtype)


def binary_codes(w: Tensor, scale: Tensor | float) -> tuple[Tensor, Tensor]:
    """Signs and their unit, whose product is `binary(w, scale)` exactly.

    Args:
        w: See `binary`.
        scale: See `binary`.

    Returns:
        int32 codes -1 or +1 of the shape of `w`, and `scale`.

    Raises:
        ArgumentError: If `w` is not floating point or not finite.

    Example:
        >>> binary_codes(torch.tensor([0.5, -1.5]), torch.tensor(2.0))
        (tensor([ 1, -1], dtype=torch.int32), tensor(2.))
    """
    check_floating("w", w)
    return integer_codes(_sign(wide(w)), w), scale_like(wide(w), "scale", scale)


def ede_schedule(progress: float) -> tuple[float, float]:
    """Return t and k of the error decay estimator (IR-Net, as in Q-SNN's released code).

        t = 10^(-1 + 2 p),    k = max(1 / t, 1)

    so the gradient is at first that of the identity and at the end close to that of the sign.

    Args:
        progress: p = epoch / epochs, from 0 to 1.

    Returns:
        t from 0.1 to 10, and k from 10 to 1.

    Raises:
        ArgumentError: If `progress` is not in [0, 1].

    Example:
        >>> ede_schedule(0.0), ede_schedule(0.5), ede_schedule(1.0)
        ((0.1, 10.0), (1.0, 1.0), (10.0, 1.0))
    """
    if not 0 <= progress <= 1:
        raise ArgumentError("progress", progress, "a number from 0 to 1")
    t = 10.0 ** (2 * progress - 1)
    return t, max(1 / t, 1.0)
