"""The distance between membrane and threshold, and gradients of learned thresholds.

A spike is a step function of the distance x = h - V_th. The value of x is always the same; the
gradient of V_th differs. The incoming ∂L/∂x already includes the surrogate of the spike.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.autograd import Function
from qsnn_plugins.functional.surrogate import SurrogateKind, primitive

__all__ = ["ThresholdGradient", "WindowKind", "distance", "finite", "keep_positive", "per_channel"]

ThresholdGradient = Literal["fixed", "ordinary", "separate"]
WindowKind = Literal["sigmoid", "triangle", "arctan"]

FLOOR = 1e-3  # the least threshold that a learned one is used with
UNREACHED = 2.0**60  # stands for an infinite threshold


class _SeparateDistance(Function):
    @staticmethod
    def forward(h: Tensor, threshold: Tensor, window: SurrogateKind) -> Tensor:
        return h - threshold

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, threshold, ctx.window = inputs
        ctx.threshold_shape = threshold.shape
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        grad_threshold = None
        if ctx.needs_input_grad[1]:
            each = torch.where(x >= 0, -grad * primitive(x, ctx.window), 0.0)
            grad_threshold = each.sum_to_size(ctx.threshold_shape)
        return grad, grad_threshold, None


def distance(
    h: Tensor,
    threshold: Tensor | float,
    gradient: ThresholdGradient = "fixed",
    window: WindowKind = "sigmoid",
) -> Tensor:
    r"""Distance x = h - V_th, with the gradient of V_th chosen by name.

    "fixed": V_th has no gradient. "ordinary": ∂x/∂V_th = -1, the gradient through the surrogate of
    the spike (SpQuant-SNN Eq. 24). "separate": the separate gradient path of SpQuant-SNN Eq. 25-27,
    with a gradient penalty window w, in which only neurons at or above the threshold count,
    whichever comparison fires them,

        ∂L/∂V_th = -Σ ∂L/∂x · w(x) · 1[x >= 0],    ∂L/∂h = ∂L/∂x unchanged.

    With the triangle as the surrogate of the spike and w = σ, this is Eq. 27 as in the authors'
    code.

    Args:
        h: Charged membrane, any shape.
        threshold: V_th, a number or a tensor that broadcasts to `h`.
        gradient: "fixed", "ordinary" or "separate".
        window: Penalty window, used only for "separate": the primitive of this surrogate, which
            rises from 0 to 1 around the threshold.

    Returns:
        Distance x, shape of `h`.

    Raises:
        ArgumentError: If `gradient` or `window` is unknown.

    Example:
        >>> h = torch.tensor([0.5, 1.0, 1.5])
        >>> threshold = torch.tensor(1.0, requires_grad=True)
        >>> distance(h, threshold, "separate").sum().backward()
        >>> threshold.grad  # -(σ(0) + σ(0.5))
        tensor(-1.1225)
    """
    if gradient not in get_args(ThresholdGradient):
        raise ArgumentError(
            "gradient", gradient, f"one of {', '.join(get_args(ThresholdGradient))}"
        )
    if gradient == "separate" and window not in get_args(WindowKind):
        raise ArgumentError("window", window, f"one of {', '.join(get_args(WindowKind))}")
    if not isinstance(threshold, Tensor):
        return h - threshold
    if gradient == "separate":
        return _SeparateDistance.apply(h, threshold, window)
    return h - (threshold if gradient == "ordinary" else threshold.detach())


class _KeepPositive(Function):
    @staticmethod
    def forward(threshold: Tensor, floor: float) -> Tensor:
        return threshold.clamp(min=floor)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def keep_positive(threshold: Tensor, floor: float = FLOOR) -> Tensor:
    """Learned threshold, clamped to at least `floor`, with a straight-through gradient.

    The gradient also passes where the clamp acts, so a threshold that was pushed to zero can
    recover. Without a floor, a neuron with a negative threshold would always fire.

    Args:
        threshold: Learned value, any shape.
        floor: Smallest threshold, above 0.

    Returns:
        max(threshold, floor), shape of `threshold`.

    Raises:
        ArgumentError: If `floor` is not positive.

    Example:
        >>> keep_positive(torch.tensor([-0.2, 0.7]))
        tensor([0.0010, 0.7000])
    """
    if not floor > 0:
        raise ArgumentError("floor", floor, "a number above 0")
    return _KeepPositive.apply(threshold, floor)


def finite(threshold: Tensor | float, instead: float = UNREACHED) -> Any:
    """Threshold with a finite number in place of infinity.

    A readout integrates and never fires: its threshold is infinite. A product with its spikes,
    0 V_th, and the quotient (h - V_th) / V_th would be NaN.

    Args:
        threshold: V_th, a number or a tensor of any shape.
        instead: What replaces infinity, if the dtype of a tensor holds it: by default more than any
            membrane reaches, and little enough that products with it stay finite.

    Returns:
        The number, or the tensor in its shape and dtype.

    Example:
        >>> 0.0 * finite(torch.tensor([0.5, torch.inf]))
        tensor([0., 0.])
    """
    if isinstance(threshold, Tensor):
        instead = min(instead, torch.finfo(threshold.dtype).max)
        return threshold.nan_to_num(nan=math.nan, posinf=instead)
    return instead if threshold == math.inf else threshold


def per_channel(threshold: Tensor, dim: int) -> Tensor:
    """Thresholds of C channels, shaped to broadcast over [N, C, ...].

    Args:
        threshold: One threshold per channel, shape [C]; a scalar stays one.
        dim: Number of dimensions of the membrane [N, C, ...], from 2.

    Returns:
        Shape [C, 1, ..., 1] of dim - 1 dimensions.

    Raises:
        ArgumentError: If `dim` leaves no dimension for channels.

    Example:
        >>> per_channel(torch.ones(3), dim=4).shape
        torch.Size([3, 1, 1])
    """
    if threshold.dim() == 0:
        return threshold
    if dim < 2:
        raise ArgumentError("dim", dim, "2 or more: a membrane [N, C, ...]")
    return threshold.reshape(-1, *(1,) * (dim - 2))
