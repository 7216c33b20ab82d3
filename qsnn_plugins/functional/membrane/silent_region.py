"""The silent region and the negative membranes of IM-SNN: which membranes can fire again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError

__all__ = ["negative_firing", "silent_region"]


def silent_region(membranes: Tensor, spikes: Tensor, bounds: Sequence[float]) -> Tensor:
    r"""Share of neurons whose first membrane is below a bound and that fire later.

    IM-SNN Eq. 3 and 4:

        Γ = {r[1] < c},    r_s = 1/(T-1) Σ_{t=2..T} |Γ ∧ s[t]| / (C H W)

    r[1] is the membrane of the first step after its reset. The printed equation divides by T, but
    its text counts the T - 1 steps from the second one, as here.

    Args:
        membranes: Membranes after the reset, before they are quantized, shape [T, N, ...].
        spikes: Spikes, shape [T, N, ...]; non-zero values count as spikes.
        bounds: Bounds c.

    Returns:
        Means over all neurons and samples, float64 of shape [len(bounds), 3]: the share |Γ| below
        c, the share that is below c and fires once or more in a later step, and r_s.

    Raises:
        ArgumentError: If there are fewer than two steps, or the shapes differ.

    Example:
        >>> r = torch.tensor([[[-2.0, -1.5, 0.5, 0.0]]]).expand(3, 1, 4)
        >>> s = torch.tensor([[[0, 0, 0, 0]], [[1, 0, 1, 0]], [[1, 0, 0, 0]]])
        >>> silent_region(r, s, bounds=[-1.0])
        tensor([[0.5000, 0.2500, 0.2500]], dtype=torch.float64)
    """
    _check(membranes, spikes)
    later = (spikes[1:] != 0).double()
    fires, rate = later.amax(0), later.mean(0)
    rows = []
    for bound in bounds:
        below = (membranes[0] < bound).double()
        rows.append(torch.stack([below.mean(), (below * fires).mean(), (below * rate).mean()]))
    return torch.stack(rows)


def negative_firing(stored: Tensor, spikes: Tensor) -> Tensor:
    """Share of stored membranes that are negative, and how many of them fire next (IM-SNN Eq. 12).

        mask[t] = 1[q[t] < 0],    fired = mean over t = 1..T-1 of mask[t] ∧ s[t+1]

    Args:
        stored: Stored membranes q, shape [T, N, ...].
        spikes: Spikes, shape [T, N, ...]; non-zero values count as spikes.

    Returns:
        Means over all neurons and samples, float64 of shape [3]: the negative share of all steps,
        that of the steps that have a next one, and `fired`; the last by the second is the firing
        rate of negative membranes.

    Raises:
        ArgumentError: If there are fewer than two steps, or the shapes differ.

    Example:
        >>> q = torch.tensor([[[-1.0, -1.0, 0.0, 1.0]], [[0.0, -1.0, 0.0, 0.0]]])
        >>> s = torch.tensor([[[0, 0, 0, 0]], [[1, 0, 0, 1]]])
        >>> negative_firing(q, s)
        tensor([0.3750, 0.5000, 0.2500], dtype=torch.float64)
    """
    _check(stored, spikes)
    negative = (stored < 0).double()
    fired = negative[:-1] * (spikes[1:] != 0)
    return torch.stack([negative.mean(), negative[:-1].mean(), fired.mean()])


def _check(membranes: Tensor, spikes: Tensor) -> None:
    if membranes.shape != spikes.shape:
        allowed = f"the shape of the membranes, {list(membranes.shape)}"
        raise ArgumentError("spikes.shape", list(spikes.shape), allowed)
    if membranes.dim() < 2 or len(membranes) < 2:
        allowed = "[T, N, ...] with T from 2: what fires later is counted"
        raise ArgumentError("membranes.shape", list(membranes.shape), allowed)
