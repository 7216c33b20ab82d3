"""Firing: how a charged membrane becomes spikes.

The forward step is exact, the backward a surrogate from `qsnn_plugins.functional.surrogate`, or
straight through for spikes of several bits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import check_bits
from qsnn_plugins.functional.surrogate import SurrogateKind, derivative

__all__ = ["heaviside", "multi_bit_primitive", "multi_bit_spike"]


class _Heaviside(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, kind: SurrogateKind, sharpness: float, fires_at_zero: bool) -> Tensor:
        return (x >= 0 if fires_at_zero else x > 0).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.kind, ctx.sharpness, _ = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        return grad * derivative(x, ctx.kind, ctx.sharpness), None, None, None


def heaviside(
    x: Tensor,
    kind: SurrogateKind = "triangle",
    sharpness: float = 1.0,
    fires_at_zero: bool = True,
) -> Tensor:
    """One-bit spike s = 1[x >= 0] with a surrogate gradient (SpQuant-SNN Eq. 2 and 4).

    Args:
        x: Distance of the charged membrane from the threshold, h - V_th, any shape.
        kind: Surrogate whose derivative replaces that of the step.
        sharpness: Sharpness of the surrogate, above 0.
        fires_at_zero: Whether a membrane exactly at the threshold fires: yes in SpikingJelly,
            no in snnTorch and in the papers' released codes.

    Returns:
        Spikes 0 or 1, shape and dtype of `x`.

    Raises:
        ArgumentError: If `kind` is unknown or `sharpness` is not positive (at the backward).

    Example:
        >>> x = torch.tensor([-0.5, 0.0, 0.25], requires_grad=True)
        >>> spikes = heaviside(x)
        >>> spikes.sum().backward()
        >>> spikes.tolist(), x.grad.tolist()
        ([0.0, 1.0, 1.0], [0.5, 1.0, 0.75])
    """
    return _Heaviside.apply(x, kind, sharpness, fires_at_zero)


class _MultiBit(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, step: Tensor, greatest: int, fires_at_zero: bool) -> Tensor:
        over = x / step
        count = over.floor() + 1 if fires_at_zero else over.ceil()
        return count.clamp(0, greatest)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, step, ctx.greatest, _ = inputs
        ctx.save_for_backward(x, step)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, step = ctx.saved_tensors
        over = x / step
        grad_x = grad * ((over >= -1) & (over < ctx.greatest)) / step
        grad_step = None
        if ctx.needs_input_grad[1]:
            grad_step = (-grad_x * over).sum_to_size(step.shape)
        return grad_x, grad_step, None, None


def multi_bit_spike(
    x: Tensor, step: Tensor | float = 1.0, bits: int = 2, fires_at_zero: bool = True
) -> Tensor:
    r"""Spike of S bits: how often the threshold fits into the membrane (bit budget Eq. 7).

        s = clip(floor(h / V_th), 0, 2^S - 1),    x = h - V_th

    The clip is not printed; without it s has more than S bits. s is a count: Eq. 7's value is
    s V_th, a factor that the next layer's weights can hold. The gradient is straight-through
    inside the range, ∂s/∂h = 1 / V_th where 0 <= h < 2^S V_th, and 0 beyond.

    Args:
        x: Distance of the charged membrane from the threshold, h - V_th, any shape.
        step: V_th, the height of one count, a number or a tensor that broadcasts to `x`. If it
            wants a gradient, ∂s/∂V_th = -x / V_th² inside the range; together with the
            distance's own -1 that is -h / V_th², the slope of h / V_th.
        bits: S, an integer from 1 to 8.
        fires_at_zero: Whether a membrane exactly at a multiple of the threshold counts it.

    Returns:
        Counts from 0 to 2^S - 1, shape and dtype of `x`.

    Raises:
        ArgumentError: If `bits` or a number given as `step` is not allowed.

    Example:
        >>> h = torch.tensor([-0.5, 0.9, 1.0, 2.5, 9.0], requires_grad=True)
        >>> spikes = multi_bit_spike(h - 1.0, bits=2)
        >>> spikes.sum().backward()
        >>> spikes.tolist(), h.grad.tolist()
        ([0.0, 0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 1.0, 1.0, 0.0])
    """
    check_bits("bits", bits)
    if not isinstance(step, Tensor):
        if not step > 0:
            raise ArgumentError("step", step, "a number above 0")
        step = torch.tensor(step, dtype=x.dtype, device=x.device)
    return _MultiBit.apply(x, step, 2**bits - 1, fires_at_zero)


def multi_bit_primitive(x: Tensor, step: Tensor | float = 1.0, bits: int = 2) -> Tensor:
    """Ramp whose derivative is that of `multi_bit_spike`: h / V_th within 0 and 2^S.

    Args:
        x: Distance h - V_th, any shape.
        step: V_th.
        bits: S, an integer from 1 to 8.

    Returns:
        Values from 0 to 2^S, shape of `x`.

    Raises:
        ArgumentError: If `bits` is not allowed.

    Example:
        >>> multi_bit_primitive(torch.tensor([-2.0, 0.5, 9.0]), bits=2)
        tensor([0.0000, 1.5000, 4.0000])
    """
    check_bits("bits", bits)
    return (x / step + 1).clamp(0, 2**bits)
