"""Charge and reset of neurons, with the leaks of both hosts: parts of `nn.Cell`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.functional.autograd import Function

__all__ = ["if_charge", "leaky_charge", "lif_charge", "plif_charge", "reset"]


def lif_charge(
    x: Tensor, v: Tensor, tau: float = 2.0, decay_input: bool = False, v_rest: float = 0.0
) -> Tensor:
    """Leaky charging as SpikingJelly writes it.

        h = v - (v - v_rest) / tau + x            decay_input=False
        h = v + (x - (v - v_rest)) / tau          decay_input=True

    The papers' u[t] = 0.5 u[t-1] + x[t] (SpQuant-SNN Eq. 1) is tau=2, decay_input=False.

    Args:
        x: Input current, any shape.
        v: Stored membrane, shape of `x`.
        tau: Time constant in steps, above 1.
        decay_input: Whether the input is also divided by tau.
        v_rest: Value that the membrane leaks to.

    Returns:
        Charged membrane h, shape of `x`.

    Example:
        >>> import torch
        >>> lif_charge(torch.tensor([0.25]), torch.tensor([1.0]))
        tensor([0.7500])
    """
    if decay_input:
        return v + (x - (v - v_rest)) / tau
    return v - (v - v_rest) / tau + x


def plif_charge(
    x: Tensor, v: Tensor, decay: Tensor, decay_input: bool = False, v_rest: float = 0.0
) -> Tensor:
    """Leaky charging with a learned decay, as SpikingJelly's `ParametricLIFNode` writes it.

        h = v - (v - v_rest) decay + x            decay_input=False
        h = v + (x - (v - v_rest)) decay          decay_input=True

    Args:
        x: Input current, any shape.
        v: Stored membrane, shape of `x`.
        decay: 1 / tau, between 0 and 1.
        decay_input: Whether the input is also multiplied by `decay`.
        v_rest: Value that the membrane leaks to.

    Returns:
        Charged membrane h, shape of `x`.

    Example:
        >>> import torch
        >>> plif_charge(torch.tensor([0.25]), torch.tensor([1.0]), torch.tensor(0.5))
        tensor([0.7500])
    """
    if decay_input:
        return v + (x - (v - v_rest)) * decay
    return v - (v - v_rest) * decay + x


def leaky_charge(
    x: Tensor, v: Tensor, beta: Tensor | float, gain: Tensor | float | None = None
) -> Tensor:
    """Leaky charging as snnTorch writes it.

        h = beta v + x                            Leaky
        h = beta v + gain x                       Lapicque: beta = 1 - Δt / RC, gain = Δt / C

    Args:
        x: Input current, any shape.
        v: Stored membrane, shape of `x`.
        beta: Decay, from 0 to 1, a number or a tensor that broadcasts to `x`.
        gain: Factor of the input; None is 1.

    Returns:
        Charged membrane h, shape of `x`.

    Example:
        >>> import torch
        >>> leaky_charge(torch.tensor([0.25]), torch.tensor([1.0]), 0.5)
        tensor([0.7500])
    """
    return beta * v + (x if gain is None else gain * x)


def if_charge(x: Tensor, v: Tensor) -> Tensor:
    """Charging without a leak, h = v + x.

    Args:
        x: Input current, any shape.
        v: Stored membrane, shape of `x`.

    Returns:
        Charged membrane h, shape of `x`.

    Example:
        >>> import torch
        >>> if_charge(torch.tensor([0.25]), torch.tensor([1.0]))
        tensor([1.2500])
    """
    return v + x


class _HardReset(Function):
    @staticmethod
    def forward(h: Tensor, fired: Tensor, v_reset: float) -> Tensor:
        # no product where it fired: 0 times an infinite membrane is NaN
        return torch.where(fired == 1, v_reset, fired * v_reset + (1 - fired) * h)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        h, fired, ctx.v_reset = inputs
        ctx.save_for_backward(h, fired)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        h, fired = ctx.saved_tensors
        grad_h = torch.where(fired == 1, 0.0, grad * (1 - fired))
        return grad_h, grad * (ctx.v_reset - h) if ctx.needs_input_grad[1] else None, None


def reset(
    h: Tensor,
    spike: Tensor,
    threshold: Tensor | float = 1.0,
    v_reset: float | None = 0.0,
    detach: bool = False,
) -> Tensor:
    """Membrane after firing (IM-SNN Eq. 2).

        r = f v_reset + (1 - f) h     hard, where v_reset is a number; f = min(s, 1)
        r = h - s V_th                soft, where v_reset is None

    f is 1 for any spike: a multi-bit spike counts up to 2^S - 1, and 1 - s would flip the sign of
    the membrane. An infinite membrane that fires is reset like any other.

    Args:
        h: Charged membrane, any shape.
        spike: Spikes 0 or 1, or counts from 0, shape of `h`.
        threshold: V_th, a number or a tensor that broadcasts to `h`.
        v_reset: Value after a spike, or None for the soft reset.
        detach: Whether no gradient flows through the spike here.

    Returns:
        Membrane after reset, shape of `h`.

    Example:
        >>> h, s = torch.tensor([0.5, 1.25]), torch.tensor([0.0, 1.0])
        >>> reset(h, s), reset(h, s, v_reset=None)
        (tensor([0.5000, 0.0000]), tensor([0.5000, 0.2500]))
    """
    if detach:
        spike = spike.detach()
    if v_reset is None:
        return h - spike * threshold
    return _HardReset.apply(h, spike.clamp(max=1), v_reset)
