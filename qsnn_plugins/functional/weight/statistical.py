"""The weight quantizer in the code of IM-SNN and SpQuant-SNN."""

from __future__ import annotations

import torch
from torch import Tensor

from qsnn_plugins.functional.autograd import Function
from qsnn_plugins.functional.scale import check_bits, check_floating, integer_codes, wide
from qsnn_plugins.functional.weight.uniform import uniform, uniform_codes

__all__ = ["statistical", "statistical_bound", "statistical_codes"]

_THRESHOLD = 0.05  # of max|w|, the ternary case


def statistical_bound(w: Tensor) -> Tensor:
    """Clipping bound α = 2 mean|w| (code of IM-SNN and SpQuant-SNN).

    The code computes the mean of weights that were already clipped to the α of the previous
    forward. Its α therefore converges to α = 2 mean(min(|w|, α)), 7.9 % lower for a Gaussian, and
    shrinks to 0 if half of the weights are 0. This is not reproduced here.

    Args:
        w: Weights, any shape.

    Returns:
        α as a scalar without a gradient; 0 where all weights are 0.

    Raises:
        ArgumentError: If `w` is not floating point.

    Example:
        >>> statistical_bound(torch.tensor([1.0, -1.0, 1.0, 5.0]))
        tensor(4.)
    """
    check_floating("w", w)
    return 2 * wide(w).detach().abs().mean()


class _Ternary(Function):
    @staticmethod
    def forward(w: Tensor) -> Tensor:
        code, value = _ternary(w)
        return code * value

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return grad


def _ternary(w: Tensor) -> tuple[Tensor, Tensor]:
    magnitude = w.abs()
    kept = magnitude >= _THRESHOLD * magnitude.amax()
    value = torch.where(kept, magnitude, 0.0).sum() / kept.sum().clamp(min=1)
    code = torch.where(kept, torch.sign(w), 0.0)
    return torch.where(w.isnan(), w, code), value


def statistical(w: Tensor, bits: int = 4) -> Tensor:
    """Weights scaled by their own statistics, as in the code of IM-SNN and SpQuant-SNN.

    Both papers print a power-of-two quantizer (`power_of_two`), but their common code has this one
    instead. Three or more bits are `uniform(w, statistical_bound(w), bits)`. Two bits are

        w_q = ±W where |w| >= 0.05 max|w|, else 0,    W = mean of those |w|

    with ∂w_q/∂w = 1. (The code excludes w = -0.05 max|w|, which is included here.)

    Args:
        w: Weights, any shape.
        bits: From 2 to 8; the code has 2, 4 and 8.

    Returns:
        Quantized weights, shape and dtype of `w`.

    Raises:
        ArgumentError: If `bits` is not an integer from 2 to 8, or `w` not floating point.

    Example:
        >>> statistical(torch.tensor([4.0, -2.0, 0.1]), bits=2)
        tensor([ 3., -3.,  0.])
    """
    check_bits("bits", bits, least=2)
    check_floating("w", w)
    if bits == 2:
        return _Ternary.apply(wide(w)).to(w.dtype)
    return uniform(w, statistical_bound(w), bits)


def statistical_codes(w: Tensor, bits: int = 4) -> tuple[Tensor, Tensor]:
    """Integers and their unit, whose product is `statistical(w, bits)` exactly.

    Args:
        w: See `statistical`.
        bits: See `statistical`.

    Returns:
        int32 codes of the shape of `w`, and their unit.

    Raises:
        ArgumentError: As `statistical`, or if a weight is not finite.

    Example:
        >>> statistical_codes(torch.tensor([4.0, -2.0, 0.1]), bits=2)
        (tensor([ 1, -1,  0], dtype=torch.int32), tensor(3.))
    """
    check_bits("bits", bits, least=2)
    check_floating("w", w)
    if bits == 2:
        code, value = _ternary(wide(w))
        return integer_codes(code, w), value
    return uniform_codes(w, statistical_bound(w), bits)
