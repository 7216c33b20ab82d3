"""Membrane levels that are denser around the threshold, as in snnTorch's `state_quant` (SQUAT)."""

from __future__ import annotations

from typing import Literal, get_args

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import check_bits

__all__ = ["LevelSpacing", "threshold_centred_levels"]

LevelSpacing = Literal["exponential", "uniform"]

# ratio of neighbouring gaps by bits, snnTorch's choice
_RATIOS = {1: 0.05, 2: 0.1, 3: 0.3, 4: 0.5, 5: 0.7, 6: 0.9, 7: 0.925, 8: 0.95}


def threshold_centred_levels(
    bits: int,
    threshold: float = 1.0,
    spacing: LevelSpacing = "exponential",
    below: float = 0.0,
    above: float = 0.2,
    ratio: float | None = None,
) -> tuple[float, ...]:
    r"""Levels of a k-bit membrane around a threshold θ, for `nearest_level`.

    The range runs from -θ (1 + below) to θ (1 + above). With "uniform" spacing its 2^k levels are
    equally far apart. With "exponential" spacing the n_l levels below θ and the n_u above stand in
    proportion to the two parts of the range, and the gaps shrink towards θ by the ratio m:

        low_j  = -θ (1 + below) + θ (2 + below) (1 - m^j) / (1 - m^n_l),       j = 0 .. n_l - 1
        high_j = θ + θ above (m^(n_u - j) - m^n_u) / (1 - m^n_u),              j = 1 .. n_u

    Neither 0 nor θ is a level, so a resting membrane is not stored as 0.

    Args:
        bits: k, an integer from 1 to 8.
        threshold: θ, above 0.
        spacing: "exponential" or "uniform".
        below: Extent of the range below -θ, in units of θ, from 0.
        above: Extent of the range above θ, in units of θ, above 0.
        ratio: m between 0 and 1; None is snnTorch's value for these bits.

    Returns:
        2^k levels in ascending order.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> [round(level, 3) for level in threshold_centred_levels(2)]
        [-1.0, 0.802, 0.982, 1.2]
    """
    check_bits("bits", bits)
    if spacing not in get_args(LevelSpacing):
        raise ArgumentError("spacing", spacing, f"one of {', '.join(get_args(LevelSpacing))}")
    for name, value in (("threshold", threshold), ("above", above)):
        if not value > 0:
            raise ArgumentError(name, value, "a number above 0")
    if not below >= 0:
        raise ArgumentError("below", below, "a number from 0")
    m = _RATIOS[bits] if ratio is None else ratio
    if not 0 < m < 1:
        raise ArgumentError("ratio", ratio, "a number between 0 and 1")
    lowest, highest = -threshold * (1 + below), threshold * (1 + above)
    count = 2**bits
    if spacing == "uniform":
        gap = (highest - lowest) / (count - 1)
        return (*(lowest + gap * j for j in range(count - 1)), highest)
    range_below, range_above = threshold - lowest, highest - threshold
    n_low = int(count * range_below / (highest - lowest))
    n_high = count - n_low
    low = (lowest + range_below * (1 - m**j) / (1 - m**n_low) for j in range(n_low))
    high = (
        threshold + range_above * (m ** (n_high - j) - m**n_high) / (1 - m**n_high)
        for j in range(1, n_high + 1)
    )
    return (*low, *high)
