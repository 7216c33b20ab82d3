"""Weights quantized to powers of two, and to sums of powers of two."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.functional.autograd import Function
from qsnn_plugins.functional.scale import (
    check_bits,
    check_floating,
    integer_codes,
    scale_like,
    wide,
)

__all__ = [
    "additive_integers",
    "additive_power_of_two",
    "additive_power_of_two_codes",
    "additive_power_of_two_grid",
    "power_of_two",
    "power_of_two_codes",
    "power_of_two_grid",
    "power_of_two_integers",
]

MAX_EXPONENT = 14  # 2^-14 is the least magnitude; 5 bits reach it, more bits add nothing


def _power_of_two_integers(bits: int) -> tuple[int, ...]:
    smallest = min(2 ** (bits - 1) - 2, MAX_EXPONENT)
    return (0, *(2**i for i in range(smallest + 1)))


def _additive_integers(bits: int) -> tuple[int, ...]:
    pairs, odd = divmod(bits - 1, 2)
    exponents: list[list[int]] = [[] for _ in range(pairs + odd)]
    following = 1
    # three rounds: each two-bit term takes one exponent a round, a one-bit term only in the last
    for turn in range(3):
        order = [pairs] if odd and turn == 2 else []
        for term in (*order, *range(pairs)):
            exponents[term].append(following)
            following += 1
    sums = {0}
    for term in exponents:
        sums = {a + b for a in sums for b in (0, *(2 ** (following - 1 - e) for e in term))}
    return tuple(sorted(sums))


_POWER_OF_TWO = {bits: _power_of_two_integers(bits) for bits in range(2, 9)}
_ADDITIVE = {bits: _additive_integers(bits) for bits in range(2, 9)}


def _nearest_to_half_units(integers: tuple[int, ...]) -> Tensor:
    """The nearest integer to 0, 1/2, 1 and so on, ties to the smaller."""
    thresholds = torch.tensor([a + b for a, b in itertools.pairwise(integers)])
    places = torch.bucketize(torch.arange(2 * integers[-1] + 1), thresholds)
    # as most weights are, which need no copy of the table then
    return torch.tensor(integers, dtype=torch.float32)[places]


_NEAREST = {
    integers: _nearest_to_half_units(integers)
    for integers in (*_POWER_OF_TWO.values(), *_ADDITIVE.values())
}


def power_of_two_integers(bits: int) -> tuple[int, ...]:
    """`power_of_two_grid` in units of its least magnitude above 0.

    Raises:
        ArgumentError: If `bits` is not an integer from 2 to 8.

    Example:
        >>> power_of_two_integers(3)
        (0, 1, 2, 4)
    """
    check_bits("bits", bits, least=2)
    return _POWER_OF_TWO[bits]


def additive_integers(bits: int) -> tuple[int, ...]:
    """`additive_power_of_two_grid` in units of the power of two that all of it is a multiple of.

    Raises:
        ArgumentError: If `bits` is not an integer from 2 to 8.

    Example:
        >>> additive_integers(4)
        (0, 1, 2, 3, 4, 6, 8, 10)
    """
    check_bits("bits", bits, least=2)
    return _ADDITIVE[bits]


def power_of_two_grid(bits: int) -> tuple[float, ...]:
    """Magnitudes of the power-of-two grid (SpQuant-SNN Eq. 17), ascending from 0 to 1.

        G = {0} ∪ {2^-i : i = 0 .. 2^(b-1) - 2}

    With both signs these are 2^b - 1 levels. The exponent is limited to 14: the printed 8-bit grid
    would extend to 2^-126, far below any useful weight, so from 6 bits on, the grid is that of 5
    bits. Use `additive_power_of_two_grid` for more bits.

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
    integers = power_of_two_integers(bits)
    return tuple(i / integers[-1] for i in integers)


def additive_power_of_two_grid(bits: int) -> tuple[float, ...]:
    """Magnitudes of the additive power-of-two grid (APoT, Li et al. 2020), from 0 to 1.

    b - 1 bits of magnitude choose a sum of n = floor((b - 1) / 2) terms of two bits, term j being

        0 or one of 2^-(j+1), 2^-(j+1+n), 2^-(j+1+2n),    j = 0 .. n - 1

    and, where b is even, one term of one bit more, 0 or 2^-(2n+1), which moves the last exponent
    of the others down by one. The sums are divided by their maximum. For b = 4 they are a + b with
    a in {0, 2^-1, 2^-2, 2^-4} and b in {0, 2^-3}. With both signs these are 2^b - 1 levels.

    Args:
        bits: b, an integer from 2 to 8.

    Returns:
        Magnitudes in ascending order.

    Raises:
        ArgumentError: If `bits` is not an integer from 2 to 8.

    Example:
        >>> additive_power_of_two_grid(4)
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
    """
    integers = additive_integers(bits)
    return tuple(i / integers[-1] for i in integers)


def _nearest(ratio: Tensor, integers: tuple[int, ...]) -> Tensor:
    """Signed integer nearest to each ratio of a weight and its bound, as a float; NaN stays."""
    # every threshold is a multiple of half a unit: a lookup is many times faster than a search
    clipped = ratio.clamp(-1, 1)
    place = (clipped.abs() * (2 * integers[-1])).ceil_().nan_to_num_(0)
    nearest = _NEAREST[integers].to(ratio).take(place.long())
    return nearest.copysign_(clipped).add_(clipped, alpha=0)


class _Grid(Function):
    @staticmethod
    def forward(w: Tensor, alpha: Tensor, integers: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        ratio = w / alpha
        code = _nearest(ratio, integers)
        # of α: sgn(w) beyond the bound, where the level is that, else level - ratio
        slope = code / integers[-1] - ratio.clamp(-1, 1) * (ratio.abs() <= 1)
        return code * (alpha / integers[-1]), slope

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.shape = inputs[1].shape
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        learns = ctx.needs_input_grad[1]
        return grad, (grad * slope).sum_to_size(ctx.shape) if learns else None, None


def _quantize(w: Tensor, alpha: Tensor | float, integers: tuple[int, ...]) -> Tensor:
    check_floating("w", w)
    quantized, _ = _Grid.apply(wide(w), scale_like(wide(w), "alpha", alpha), integers)
    return quantized.to(w.dtype)


def _codes(w: Tensor, alpha: Tensor | float, integers: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    check_floating("w", w)
    alpha = scale_like(wide(w), "alpha", alpha)
    return integer_codes(_nearest(wide(w) / alpha, integers), w), alpha / integers[-1]


def power_of_two(w: Tensor, alpha: Tensor | float, bits: int = 4) -> Tensor:
    r"""Weights rounded to a grid of powers of two (SpQuant-SNN Eq. 15, 16 and 18).

        c = clip(w / α, -1, 1),   w_q = α sgn(c) argmin_{g ∈ G} | |c| - g |

    Ties are rounded to the smaller magnitude; a NaN stays NaN. The backward is that of APoT's code:
    ∂w_q/∂w = 1 everywhere, and ∂w_q/∂α = sgn(w) where |w| > α, else (w_q - w) / α.

    Args:
        w: Weights, any shape.
        alpha: Clipping bound α above 0, a number or a tensor that broadcasts to `w`.
        bits: b of `power_of_two_grid`.

    Returns:
        Quantized weights, shape and dtype of `w`.

    Raises:
        ArgumentError: If `bits` is not an integer from 2 to 8, or `w` not floating point.

    Example:
        >>> power_of_two(torch.tensor([-3.0, -0.6, 0.05, 0.3]), torch.tensor(2.0), bits=3)
        tensor([-2.0000, -0.5000,  0.0000,  0.5000])
    """
    return _quantize(w, alpha, power_of_two_integers(bits))


def power_of_two_codes(w: Tensor, alpha: Tensor | float, bits: int = 4) -> tuple[Tensor, Tensor]:
    """Integers and their unit, whose product is `power_of_two(w, alpha, bits)` exactly.

    Args:
        w: See `power_of_two`.
        alpha: See `power_of_two`.
        bits: See `power_of_two`.

    Returns:
        int32 codes of the shape of `w`, each 0 or ±2^i, and the unit α 2^-i_max.

    Raises:
        ArgumentError: As `power_of_two`, or if a weight is not finite.

    Example:
        >>> power_of_two_codes(torch.tensor([-3.0, 0.3]), torch.tensor(2.0), bits=3)
        (tensor([-4,  1], dtype=torch.int32), tensor(0.5000))
    """
    return _codes(w, alpha, power_of_two_integers(bits))


def additive_power_of_two(w: Tensor, alpha: Tensor | float, bits: int = 4) -> Tensor:
    """Weights rounded to a grid of sums of powers of two (APoT, Li et al. 2020).

    The same as `power_of_two`, with `additive_power_of_two_grid` instead of G.

    Args:
        w: Weights, any shape.
        alpha: Clipping bound α above 0, a number or a tensor that broadcasts to `w`.
        bits: b of `additive_power_of_two_grid`.

    Returns:
        Quantized weights, shape and dtype of `w`.

    Raises:
        ArgumentError: If `bits` is not an integer from 2 to 8, or `w` not floating point.

    Example:
        >>> additive_power_of_two(torch.tensor([-3.0, -0.6, 0.1]), torch.tensor(1.0), bits=4)
        tensor([-1.0000, -0.6000,  0.1000])
    """
    return _quantize(w, alpha, additive_integers(bits))


def additive_power_of_two_codes(
    w: Tensor, alpha: Tensor | float, bits: int = 4
) -> tuple[Tensor, Tensor]:
    """Integers and their unit, whose product is `additive_power_of_two(w, alpha, bits)` exactly.

    Args:
        w: See `additive_power_of_two`.
        alpha: See `additive_power_of_two`.
        bits: See `additive_power_of_two`.

    Returns:
        int32 codes of the shape of `w`, and their unit.

    Raises:
        ArgumentError: As `additive_power_of_two`, or if a weight is not finite.

    Example:
        >>> additive_power_of_two_codes(torch.tensor([-3.0, 0.6, 0.1]), torch.tensor(1.0))
        (tensor([-10,   6,   1], dtype=torch.int32), tensor(0.1000))
    """
    return _codes(w, alpha, additive_integers(bits))
