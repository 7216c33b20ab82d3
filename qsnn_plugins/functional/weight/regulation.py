"""Weight regulation: standardised weights."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import Granularity, check_floating, wide

__all__ = ["Regulation", "regulate"]

Regulation = Literal["none", "layer", "channel"]

_EQUAL = 2.0**-20  # a deviation below this part of the mean is rounding, and not divided by


def regulate(
    w: Tensor, per: Granularity = "layer", correction: int = 0, detach: bool = False
) -> Tensor:
    """Weights with mean 0 and variance 1, the weight part of WS-DR (Q-SNN Eq. 14).

        ŵ = (w - μ) / σ

    so that about as many weights are above 0 as below, and their signs carry the most information.
    The paper uses μ and σ of a layer; its released code those of each output channel, with the
    unbiased variance; APoT's code those of a layer, unbiased and constant in the backward. A layer
    or channel of equal weights becomes 0.

    Args:
        w: Weights, shape [out, ...].
        per: "layer" or "channel".
        correction: Value subtracted from the count in the variance: 0, or 1 for the unbiased
            variance.
        detach: Whether μ and σ are constants in the backward.

    Returns:
        Standardised weights, shape and dtype of `w`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> regulate(torch.tensor([[1.0, 2.0, 3.0]]), correction=1)
        tensor([[-1.,  0.,  1.]])
    """
    check_floating("w", w)
    if per not in get_args(Granularity):
        raise ArgumentError("per", per, f"one of {', '.join(get_args(Granularity))}")
    if correction not in (0, 1):
        raise ArgumentError("correction", correction, "0 or 1")
    x = wide(w)
    source = x.detach() if detach else x
    inner = tuple(range(0 if per == "layer" else 1, w.dim()))
    centre = source.mean(inner, keepdim=True) if inner else source
    group = w.numel() if per == "layer" else w.numel() // w.shape[0]
    squares = (source - centre).square()
    variance = (squares.sum(inner, keepdim=True) if inner else squares) / max(group - correction, 1)
    equal = variance <= (_EQUAL * centre).square()
    return ((x - centre) / torch.where(equal, torch.inf, variance).sqrt()).to(w.dtype)
