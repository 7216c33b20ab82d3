"""Firing: from charged membranes to spikes.

The forward step is exact. The backward uses a surrogate from `qsnn_plugins.functional.surrogate`,
or a straight-through gradient for multi-bit spikes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.autograd import Function
from qsnn_plugins.functional.scale import check_bits, check_floating
from qsnn_plugins.functional.surrogate import SurrogateKind, derivative
from qsnn_plugins.functional.threshold import finite

__all__ = [
    "MOST_SPIKE_BITS",
    "check_counts",
    "heaviside",
    "limit_sums",
    "limited_attention",
    "multi_bit_primitive",
    "multi_bit_spike",
]

MOST_SPIKE_BITS = 16  # bit budget, Table 3


def check_counts(bits: int, dtype: torch.dtype) -> None:
    """Raise an error unless a floating point dtype holds every count of S bits exactly.

    Args:
        bits: S, an integer from 1 to 16.
        dtype: float16 holds 11 bits, bfloat16 8, wider ones all 16.

    Raises:
        ArgumentError: If `bits` is not allowed, or too many for the dtype.

    Example:
        >>> check_counts(11, torch.float16)
        >>> check_counts(12, torch.float16)
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: x.dtype=torch.float16 is not allowed: \
give float32 or float64, which hold all counts of spikes of 12 bits
    """
    check_bits("bits", bits, most=MOST_SPIKE_BITS)
    if 2**bits > 2 / torch.finfo(dtype).eps:
        allowed = f"float32 or float64, which hold all counts of spikes of {bits} bits"
        raise ArgumentError("x.dtype", dtype, allowed)


class _Heaviside(Function):
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


class _MultiBit(Function):
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
    r"""S-bit spike: how many thresholds fit into the membrane (bit budget Eq. 7).

        s = clip(floor(h / V_th), 0, 2^S - 1),    x = h - V_th

    The clip is not printed, but without it s can have more than S bits. s is a count; the value in
    Eq. 7 is s V_th, where V_th can be absorbed by the weights of the next layer. The gradient is
    straight-through inside the range, ∂s/∂h = 1 / V_th where 0 <= h < 2^S V_th, and 0 outside.

    Args:
        x: Distance of the charged membrane from the threshold, h - V_th, any shape.
        step: V_th, the height of one count, a number or a tensor that broadcasts to `x`; an
            infinite one is never reached. If it requires a gradient, this is ∂s/∂V_th = -x / V_th²
            inside the range; together with the -1 of the distance, it is -h / V_th², the slope of
            h / V_th.
        bits: S, an integer from 1 to 16.
        fires_at_zero: Whether a membrane exactly at a multiple of the threshold reaches its count.

    Returns:
        Counts from 0 to 2^S - 1, shape and dtype of `x`.

    Raises:
        ArgumentError: If `bits` or a number given as `step` is not allowed, or the dtype of `x`
            does not hold 2^S - 1.

    Example:
        >>> h = torch.tensor([-0.5, 0.9, 1.0, 2.5, 9.0], requires_grad=True)
        >>> spikes = multi_bit_spike(h - 1.0, bits=2)
        >>> spikes.sum().backward()
        >>> spikes.tolist(), h.grad.tolist()
        ([0.0, 0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 1.0, 1.0, 0.0])
    """
    check_floating("x", x)
    check_counts(bits, x.dtype)
    if not isinstance(step, Tensor):
        if not step > 0:
            raise ArgumentError("step", step, "a number above 0")
        step = torch.tensor(step, dtype=x.dtype, device=x.device)
    return _MultiBit.apply(x, finite(step), 2**bits - 1, fires_at_zero)


def multi_bit_primitive(x: Tensor, step: Tensor | float = 1.0, bits: int = 2) -> Tensor:
    """Ramp whose derivative is that of `multi_bit_spike`: h / V_th within 0 and 2^S.

    Args:
        x: Distance h - V_th, any shape.
        step: V_th.
        bits: S, an integer from 1 to 16.

    Returns:
        Values from 0 to 2^S, shape of `x`.

    Raises:
        ArgumentError: If `bits` is not allowed.

    Example:
        >>> multi_bit_primitive(torch.tensor([-2.0, 0.5, 9.0]), bits=2)
        tensor([0.0000, 1.5000, 4.0000])
    """
    check_bits("bits", bits, most=MOST_SPIKE_BITS)
    return (x / finite(step) + 1).clamp(0, 2**bits)


def limit_sums(x: Tensor, bits: int, unit: float = 1.0) -> Tensor:
    r"""Limit sums of spikes to the bits of one spike (bit budget, section 6.3).

        y = clip(x, 0, (2^S - 1) unit)

    The sum of two S-bit spikes, which is the output of a SEW block, has S + 1 bits. The gradient is
    straight-through where nothing is clipped, including the bounds, and 0 elsewhere, as in
    `multi_bit_spike`.

    Args:
        x: Sums, any shape.
        bits: S, an integer from 1 to 16.
        unit: Value of a count of 1, above 0: V_th if spikes are multiplied by their threshold.

    Returns:
        Values from 0 to (2^S - 1) unit, shape and dtype of `x`.

    Raises:
        ArgumentError: If `bits` or `unit` is not allowed, or the dtype of `x` does not hold
            2^S - 1.

    Example:
        >>> x = torch.tensor([0.0, 3.0, 4.0, 6.0], requires_grad=True)
        >>> y = limit_sums(x, bits=2)
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([0.0, 3.0, 3.0, 3.0], [1.0, 1.0, 0.0, 0.0])
    """
    check_floating("x", x)
    check_counts(bits, x.dtype)
    if not unit > 0:
        raise ArgumentError("unit", unit, "a number above 0")
    return x.clamp(0.0, (2**bits - 1) * unit)


def limited_attention(
    q: Tensor, k: Tensor, v: Tensor, bits: int, unit: float = 1.0, scale: float = 1.0
) -> Tensor:
    r"""Spiking self-attention whose attention matrix has S bits (bit budget, section 6.3).

        A = clip(Q K^T, 0, (2^S - 1) unit²),    y = A V scale

    Spikformer has no clip; with the clip, Q and K must be multiplied first. The paper does not
    define the attention matrix. Here it is Q K^T, as usual, in integers and before the scale.

    Args:
        q: Spikes of the queries, [..., L, D]: L tokens of one head with D channels.
        k: Spikes of the keys, [..., L, D].
        v: Spikes of the values, [..., L, D].
        bits: S, an integer from 1 to 16.
        unit: Value of a count of 1 in `q` and `k`, above 0.
        scale: Factor of the result, 0.125 in Spikformer.

    Returns:
        Shape [..., L, D].

    Raises:
        ArgumentError: If an argument is not allowed, see `limit_sums`.

    Example:
        >>> q = k = v = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
        >>> limited_attention(q, k, v, bits=1)  # A = [[2, 1], [1, 1]], clipped to 1
        tensor([[1., 2.],
                [1., 2.]])
    """
    matrix = limit_sums(q @ k.transpose(-2, -1), bits, unit**2)
    return (matrix @ v) * scale
