"""Integer bounds of a table: from which sum on an outcome is reached, exactly."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from qsnn_plugins.export.tables import StepTable

__all__ = ["integer_bounds", "trimmed"]

_DOUBT = 1e-13  # quotients this near to an integer, relative to their size, are computed exactly


def integer_bounds(
    breaks: Tensor, scale: Tensor, bias: Tensor, low: int, high: int, dtype: torch.dtype
) -> Tensor:
    """Return the least integer a at which scale a + bias, once rounded, reaches each break.

    Args:
        breaks: Floats of `dtype`, [G, states, outcomes - 1].
        scale: float64, not negative, [G].
        bias: float64, [G].
        low: The least a there is: what every a reaches has this bound.
        high: The greatest: what none reaches has the bound `high` + 1.
        dtype: What the network computes in.

    Returns:
        int64, the shape of `breaks`.

    Example:
        >>> breaks = torch.tensor([[[1.0]]])
        >>> half, zero = torch.tensor([0.5]).double(), torch.tensor([0.0]).double()
        >>> integer_bounds(breaks, half, zero, -10, 10, torch.float32)
        tensor([[[2]]])
    """
    least, includes = _least_exact(breaks, dtype)
    a, b = (t.reshape(-1, 1, 1).expand(least.shape) for t in (scale, bias))
    quotient = (least - b) / a
    bound = quotient.ceil()
    rounded = quotient.round()
    near = (quotient - rounded).abs() <= _DOUBT * (1 + quotient.abs() + (b / a).abs())
    near &= quotient.isfinite() & (quotient.abs() < 2.0**60) & (a > 0)
    for place in near.nonzero().tolist():
        at = tuple(place)
        exact = (Fraction(float(least[at])) - Fraction(float(b[at]))) / Fraction(float(a[at]))
        reaches = exact.denominator == 1 and not includes[at]
        bound[at] = math.floor(exact) + 1 if reaches else math.ceil(exact)
    always = torch.where(includes, b >= least, b > least)
    bound = torch.where(a > 0, bound, torch.where(always, -torch.inf, torch.inf))
    return bound.clamp(low, high + 1).long()


def _least_exact(breaks: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the real numbers from which on rounding gives a break, and whether it does at them."""
    before = torch.nextafter(breaks, torch.tensor(-torch.inf, dtype=breaks.dtype))
    if dtype == torch.float64:
        # halves of neighbours in float64 are not there; sums this near are exact sums
        return breaks.double(), torch.ones_like(breaks, dtype=torch.bool)
    middle = (breaks.double() + before.double()) / 2
    kind = np.int32 if dtype == torch.float32 else np.int16
    view = torch.int32 if kind is np.int32 else torch.int16
    is_even = breaks.contiguous().view(view) % 2 == 0
    middle = torch.where(breaks.isfinite(), middle, breaks.double())
    return middle, is_even


def trimmed(
    bounds: Tensor, table: StepTable, low: int, high: int
) -> tuple[Tensor, StepTable, Tensor]:
    """Leave out states that are never stored, and outcomes that never happen.

    Args:
        bounds: int64, [G, states, outcomes - 1].
        table: The neuron.
        low: The least sum.
        high: The greatest.

    Returns:
        Bounds, the table with the states and outcomes that are left, and the places of the states
        that are left.
    """
    ends = (
        bounds.new_full((*bounds.shape[:2], 1), low),
        bounds.new_full((*bounds.shape[:2], 1), high + 1),
    )
    edges = torch.cat([ends[0], bounds, ends[1]], 2)
    happens = (edges[..., 1:] > edges[..., :-1]).any(0)  # [states, outcomes]
    wide = table.charge is not None
    reached = {table.first_state}
    while True:
        rows = happens[[0]] if wide else happens[sorted(reached)]
        outcomes = rows.any(0).nonzero().flatten()
        after = reached | set(table.next_state[outcomes].tolist())
        if after == reached:
            break
        reached = after
    kept = torch.tensor(sorted(reached))
    place = {int(state): i for i, state in enumerate(kept)}
    # the bound of an outcome is where the first of those left out before it, or it, begins
    left = edges[..., :-1][..., outcomes][..., 1:]
    smaller = replace(
        table,
        states=table.states[:, kept],
        breaks=table.breaks[..., :0],
        spikes=table.spikes[outcomes],
        next_state=torch.tensor([place[int(s)] for s in table.next_state[outcomes]]),
        first_state=place[table.first_state],
        charge=table.charge[:, kept] if table.charge is not None else None,
    )
    return (left if wide else left[:, kept]), smaller, kept
