"""Levels, thresholds and initial scale of the sigmoid quantizer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import wide

__all__ = ["best_scale", "k_means_thresholds", "middle_thresholds", "symmetric_levels"]

_SAMPLE = 2**16  # weights of a layer that are enough to find its first scale or its clusters


def symmetric_levels(bits: int) -> tuple[int, ...]:
    """Level sets of Shymyrbay et al., without -2^(b-1), which has no positive counterpart.

    Args:
        bits: 1 gives ±1, 2 gives -1, 0, 1; b above gives -(2^(b-1) - 1) .. 2^(b-1) - 1.

    Returns:
        Levels in ascending order.

    Raises:
        ArgumentError: If `bits` is not one of 1, 2, 4 and 8.

    Example:
        >>> symmetric_levels(1), symmetric_levels(2), len(symmetric_levels(4))
        ((-1, 1), (-1, 0, 1), 15)
    """
    if isinstance(bits, bool) or bits not in (1, 2, 4, 8):
        raise ArgumentError("bits", bits, "1, 2, 4 or 8")
    largest = max(2 ** (bits - 1) - 1, 1)
    return (-1, 1) if bits == 1 else tuple(range(-largest, largest + 1))


def middle_thresholds(levels: Sequence[int]) -> tuple[float, ...]:
    """Thresholds midway between levels, as Shymyrbay et al. have them.

    Args:
        levels: Two or more integers in ascending order.

    Returns:
        b_1 .. b_n, one fewer than the levels.

    Example:
        >>> middle_thresholds((-1, 0, 1))
        (-0.5, 0.5)
    """
    return tuple((a + b) / 2 for a, b in itertools.pairwise(levels))


def _sample(w: Tensor) -> Tensor:
    flat = wide(w).detach().flatten()
    return flat[:: max(flat.numel() // _SAMPLE, 1)]


def k_means_thresholds(w: Tensor, count: int, rounds: int = 300) -> tuple[float, ...]:
    """Thresholds between clusters of the weights of a layer (Yang et al. 2019).

    Lloyd's algorithm in one dimension on at most 2^17 of the weights. The density of the initial
    centres is proportional to the cube root of the density of the weights, which is optimal for
    many centres. Thresholds are midway between neighbouring centres.

    Args:
        w: Weights, already multiplied by β, any shape.
        count: Number of thresholds, one fewer than the levels.
        rounds: Largest number of iterations.

    Returns:
        Thresholds in ascending order; equally spaced over the range of w where it has fewer
        different values than there are clusters.

    Raises:
        ArgumentError: If `count` is below 1.

    Example:
        >>> k_means_thresholds(torch.tensor([-2.0, -1.5, 0.0, 0.25, 3.0]), count=2)
        (-0.8125, 1.5625)
    """
    if count < 1:
        raise ArgumentError("count", count, "a number above 0")
    x = np.sort(_sample(w).cpu().double().numpy())
    low, high = x[0], x[-1]
    if len(np.unique(x)) <= count:
        half = max(abs(low), abs(high), 1.0)
        return tuple((-half + 2 * half * (np.arange(count) + 0.5) / count).tolist())
    knots = np.linspace(0, len(x) - 1, max(min(8 * count, len(x) // 4), 1) + 1).round().astype(int)
    mass = np.cumsum(np.cbrt(np.diff(knots) * np.diff(x[knots]) ** 2))
    places = (np.arange(count + 1) + 0.5) / (count + 1) * mass[-1]
    centres = np.interp(places, np.concatenate([[0.0], mass]), x[knots])
    sums = np.concatenate([[0.0], np.cumsum(x)])
    for _ in range(rounds):
        cuts = np.searchsorted(x, (centres[1:] + centres[:-1]) / 2)
        cuts = np.concatenate([[0], cuts, [len(x)]])
        sizes = np.diff(cuts)
        moved = np.where(sizes > 0, np.diff(sums[cuts]) / np.maximum(sizes, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return tuple(((centres[1:] + centres[:-1]) / 2).tolist())


def best_scale(w: Tensor, levels: Sequence[int]) -> Tensor:
    """Initial α, with β = 1 / α, for which the hard quantizer is closest to the weights.

    It minimizes the mean squared error over 81 candidates from max|w| / p down to a thousandth of
    it, where p is the largest level. Yang's β = 1.25 p / max|w| sets all ternary weights below 0.4
    max|w| to 0, which are nearly all weights of a new layer; Shymyrbay et al. give no initial
    value.

    Args:
        w: Weights, any shape.
        levels: Levels in ascending order, symmetric around 0.

    Returns:
        α as a scalar above 0.

    Example:
        >>> best_scale(torch.tensor([-0.5, 0.5, 0.02]), (-1, 0, 1))
        tensor(0.5000)
    """
    x = _sample(w)
    largest = x.abs().amax().clamp(min=2.0**-14) / levels[-1]
    candidates = largest * torch.exp2(-torch.arange(81, dtype=x.dtype, device=x.device) / 8)
    table = torch.tensor(levels, dtype=x.dtype, device=x.device)
    thresholds = torch.tensor(middle_thresholds(levels), dtype=x.dtype, device=x.device)
    errors = [
        (alpha * table[torch.bucketize(x / alpha, thresholds, right=True)] - x).square().mean()
        for alpha in candidates
    ]
    return candidates.take(torch.stack(errors).argmin())  # an index would be read on meta too
