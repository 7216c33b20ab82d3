"""Firing: how a charged membrane becomes spikes.

The forward step is exact, the backward a surrogate from `qsnn_plugins.functional.surrogate`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.functional.surrogate import SurrogateKind, derivative

__all__ = ["heaviside"]


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
