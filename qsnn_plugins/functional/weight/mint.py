"""MINT's quantizer for weights and membranes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from qsnn_plugins.functional.scale import (
    check_bits,
    check_floating,
    integer_codes,
    scale_like,
    wide,
)
from qsnn_plugins.functional.scale import round_through as _round

__all__ = ["mint", "mint_bound", "mint_codes", "mint_initial_beta"]


def _nearest(x: Tensor, beta: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    steps = 2 ** (bits - 1) - 1
    return _round((torch.tanh(x) / beta).clamp(-1, 1) * steps), beta / steps


def mint(x: Tensor, beta: Tensor | float, bits: int = 4) -> Tensor:
    r"""Uniform quantization after a hyperbolic tangent (MINT, Yin et al. 2024).

        Q(x) = β / n round(n clip(tanh(x) / β, -1, 1)),    n = 2^(b-1) - 1

    with 2^b - 1 levels; two bits are ternary. MINT shares one learned β per layer between weights
    and membranes, so neither has to be rescaled. Without sharing, β = `mint_bound(x)`, as Q-SNN's
    released code does for membranes. Idempotent in tanh(x), not in x.

    Backward, the rounding straight through: ∂Q/∂x = 1 - tanh²(x) where |tanh x| <= β, else 0;
    ∂Q/∂β = (Q - tanh x) / β there, else sgn(x).

    Args:
        x: Weights or membranes, any shape.
        beta: β above 0, a number or a tensor that broadcasts to `x`.
        bits: b from 2 to 8.

    Returns:
        Quantized values, shape and dtype of `x`.

    Raises:
        ArgumentError: If `bits` is not an integer from 2 to 8, or `x` not floating point.

    Example:
        >>> mint(torch.tensor([-2.0, 0.1, 0.3]), torch.tensor(0.6), bits=3)
        tensor([-0.6000,  0.0000,  0.2000])
    """
    check_bits("bits", bits, least=2)
    check_floating("x", x)
    code, unit = _nearest(wide(x), scale_like(wide(x), "beta", beta), bits)
    return (code * unit).to(x.dtype)


def mint_codes(x: Tensor, beta: Tensor | float, bits: int = 4) -> tuple[Tensor, Tensor]:
    """Integers and their unit, whose product is `mint(x, beta, bits)` exactly.

    Args:
        x: See `mint`.
        beta: See `mint`.
        bits: See `mint`.

    Returns:
        int32 codes of the shape of `x`, and the unit β / n.

    Raises:
        ArgumentError: As `mint`, or if a value is NaN.

    Example:
        >>> mint_codes(torch.tensor([-2.0, 0.1, 0.3]), torch.tensor(0.6), bits=3)
        (tensor([-3,  0,  1], dtype=torch.int32), tensor(0.2000))
    """
    check_bits("bits", bits, least=2)
    check_floating("x", x)
    code, unit = _nearest(wide(x), scale_like(wide(x), "beta", beta), bits)
    return integer_codes(code.detach()), unit


def mint_bound(x: Tensor) -> Tensor:
    """Bound of MINT's quantizer without sharing, β = max|tanh x|, without a gradient.

    It depends on all of x: for membranes, on the other samples of the batch.

    Args:
        x: Weights or membranes, any shape.

    Returns:
        β as a scalar, kept above 0 where all of x is 0.

    Example:
        >>> mint_bound(torch.tensor([0.0, -0.5]))
        tensor(0.4621)
    """
    bound = torch.tanh(wide(x).detach()).abs().amax()
    return bound.clamp(min=torch.finfo(bound.dtype).tiny)


def mint_initial_beta(w: Tensor, bits: int = 4) -> Tensor:
    """Initial value of MINT's learned β for the weights of a layer.

        β = 2 mean|w| / sqrt(2^(b-1) - 1)

    Args:
        w: Weights, any shape.
        bits: b from 2 to 8.

    Returns:
        β as a scalar.

    Raises:
        ArgumentError: If `bits` is not an integer from 2 to 8.

    Example:
        >>> mint_initial_beta(torch.tensor([1.0, -2.0]), bits=2)
        tensor(3.)
    """
    check_bits("bits", bits, least=2)
    return 2 * wide(w).detach().abs().mean() / math.sqrt(2 ** (bits - 1) - 1)
