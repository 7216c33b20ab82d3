"""Common parts of the quantizers: checks, scales and their gradients, integer codes."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.autograd import Function

__all__ = [
    "MIN_SCALE",
    "Granularity",
    "cast",
    "check_bits",
    "check_floating",
    "integer_codes",
    "max_magnitude",
    "mean_magnitude",
    "normalize_gradient",
    "round_through",
    "round_to_power_of_two",
    "scale_like",
    "wide",
]

Granularity = Literal["layer", "channel"]

MIN_SCALE = 2.0**-14  # the least scale that a learned one is used with
MARGIN = 0.25  # octaves beyond a border between powers of two within which the last one stays


def check_bits(argument: str, bits: int, least: int = 1, most: int = 8) -> None:
    """Raise an error that names `argument` unless `bits` is an integer in the range.

    Raises:
        ArgumentError: If `bits` is not an integer from `least` to `most`.

    Example:
        >>> check_bits("bits", 4)
    """
    if not isinstance(bits, int) or isinstance(bits, bool) or not least <= bits <= most:
        allowed = f"an integer from {least} to {most}" if least < most else str(least)
        raise ArgumentError(argument, bits, allowed)


def check_floating(argument: str, x: Tensor) -> None:
    """Raise an error that names `argument` unless `x` is a floating point tensor.

    Raises:
        ArgumentError: If it is an integer or complex tensor.

    Example:
        >>> check_floating("w", torch.zeros(2))
    """
    if not x.is_floating_point():
        raise ArgumentError(f"{argument}.dtype", x.dtype, "a floating point tensor")


def wide(x: Tensor) -> Tensor:
    """Cast a 16-bit tensor to float32, in which codes are computed; return others unchanged.

    Example:
        >>> wide(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Cast a tensor to a dtype, and return itself where it has that already.

    The forward of a `Function` must not end in `to` of its own dtype, nor in place: torch.compile
    of torch 2.11 then takes the gradient for zero.

    Example:
        >>> x = torch.zeros(1)
        >>> cast(x, torch.float32) is x, cast(x, torch.float16).dtype
        (True, torch.float16)
    """
    return x if x.dtype == dtype else x.to(dtype)


def scale_like(x: Tensor, argument: str, scale: Tensor | float) -> Tensor:
    """Return a scale in the dtype of what it scales.

    Args:
        x: What is scaled.
        argument: The scale's name.
        scale: A number or a tensor.

    Raises:
        ArgumentError: If a number is not above 0.

    Example:
        >>> scale_like(torch.zeros(2), "alpha", 0.5)
        tensor(0.5000)
    """
    if isinstance(scale, Tensor):
        return scale.to(x.dtype)
    if not scale > 0:
        raise ArgumentError(argument, scale, "a number above 0")
    return torch.tensor(scale, dtype=x.dtype, device=x.device)


def integer_codes(code: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cast whole numbers to int32.

    Args:
        code: The numbers.
        weight: What they were made of, where that may not be infinite either.

    Raises:
        ArgumentError: If one is NaN or infinite.

    Example:
        >>> integer_codes(torch.tensor([-1.0, 3.0]))
        tensor([-1,  3], dtype=torch.int32)
    """
    if not (code if weight is None else code + weight).isfinite().all():
        raise ArgumentError("weight", "NaN or infinite", "finite weights")
    return code.to(torch.int32)


class _RoundThrough(Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def round_through(x: Tensor) -> Tensor:
    """Round to the nearest integer, ties to even, with the gradient passed straight through.

    Args:
        x: Any shape.

    Returns:
        Whole numbers, shape and dtype of `x`.

    Example:
        >>> round_through(torch.tensor([0.5, 1.5, -0.7]))
        tensor([ 0.,  2., -1.])
    """
    return _RoundThrough.apply(x)


class _RoundToPowerOfTwo(Function):
    @staticmethod
    def forward(alpha: Tensor, last: Tensor | None) -> Tensor:
        exponent = torch.log2(wide(alpha))
        nearest = exponent.round()
        if last is not None:
            last = torch.log2(last).round()  # an averaged one lies between
            nearest = torch.where((exponent - last).abs() <= 0.5 + MARGIN, last, nearest)
        return cast(torch.exp2(nearest), alpha.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def round_to_power_of_two(alpha: Tensor, last: Tensor | None = None) -> Tensor:
    """Scale α rounded to 2^round(log2 α), straight-through (SpQuant-SNN Eq. 14).

    The optimal scale usually lies between two powers of two. A learned α then moves to the boundary
    between them from either side, and would switch between both every few steps. If the last power
    is given, it is kept until α is a quarter of an octave beyond the boundary.

    Args:
        alpha: Scales above 0, any shape; 0 stays 0.
        last: Powers of two that were used last, shape of `alpha`, or None; others are rounded.

    Returns:
        Powers of two, shape of `alpha`.

    Example:
        >>> round_to_power_of_two(torch.tensor([0.3, 3.0]))
        tensor([0.2500, 4.0000])
        >>> round_to_power_of_two(torch.tensor([1.5, 1.7]), last=torch.tensor([1.0, 1.0]))
        tensor([1., 2.])
    """
    return _RoundToPowerOfTwo.apply(alpha, last)


class _ScaleGradient(Function):
    @staticmethod
    def forward(x: Tensor, factor: float) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


def normalize_gradient(x: Tensor, elements: int, levels: int = 1) -> Tensor:
    r"""Return a learned scale unchanged, and divide its gradient by sqrt(elements · levels).

    The gradient of a scale is the sum over all elements that share it. Without a factor, its steps
    would be orders of magnitude larger, relative to its value, than those of a weight. The factor
    is that of LSQ (Esser et al. 2020), which MINT uses too. IM-SNN, SpQuant-SNN and Shymyrbay et
    al. print the plain sum, which is used with `fidelity="released"`.

    Args:
        x: Scales or thresholds, any shape.
        elements: Number of elements that share one scale: weights, or neurons of one sample, since
            losses are means over samples.
        levels: Number of positive levels.

    Returns:
        x, with its own shape and dtype.

    Example:
        >>> x = torch.tensor(2.0, requires_grad=True)
        >>> normalize_gradient(x, elements=8, levels=2).backward()
        >>> x.grad
        tensor(0.2500)
    """
    return _ScaleGradient.apply(x, 1 / math.sqrt(max(elements, 1) * max(levels, 1)))


def mean_magnitude(w: Tensor, per: Granularity = "layer") -> Tensor:
    """Mean of |w| over a layer or over each output channel (Q-SNN Eq. 6 uses channels).

    Args:
        w: Weights, shape [out, ...].
        per: "layer" or "channel".

    Returns:
        A scalar, or shape [out, 1, ...].

    Raises:
        ArgumentError: If `per` is unknown.

    Example:
        >>> mean_magnitude(torch.tensor([[1.0, -3.0], [0.0, 1.0]]), "channel")
        tensor([[2.0000],
                [0.5000]])
    """
    _check_granularity(per)
    magnitude, inner = w.abs(), _inner(w)
    if per == "layer":
        return magnitude.mean()
    return magnitude.mean(inner, keepdim=True) if inner else magnitude


def max_magnitude(w: Tensor, per: Granularity = "layer") -> Tensor:
    """Largest |w| of a layer or of each output channel.

    Args:
        w: Weights, shape [out, ...].
        per: "layer" or "channel".

    Returns:
        A scalar, or shape [out, 1, ...].

    Raises:
        ArgumentError: If `per` is unknown.

    Example:
        >>> max_magnitude(torch.tensor([[1.0, -3.0], [0.0, 1.0]]))
        tensor(3.)
    """
    _check_granularity(per)
    magnitude, inner = w.abs(), _inner(w)
    if per == "layer":
        return magnitude.amax()
    return magnitude.amax(inner, keepdim=True) if inner else magnitude


def _inner(w: Tensor) -> tuple[int, ...]:
    return tuple(range(1, w.dim()))


def _check_granularity(per: str) -> None:
    if per not in get_args(Granularity):
        raise ArgumentError("per", per, f"one of {', '.join(get_args(Granularity))}")
