"""Membrane pruning as a module that says what it pruned."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.pruning import apply_mask, channel_mask, spatial_mask
from qsnn_plugins.spec import PruningSpec

__all__ = ["MembranePruning", "Sparsity"]


class Sparsity(NamedTuple):
    """Shares from 0 to 1 that were masked since `MembranePruning.restart`.

    Args:
        spatial: S_p of SpQuant-SNN Eq. 30, neurons that the spatial mask took.
        channel: S_c, channels that the channel mask took.
        neurons: Neurons that either took.

    Example:
        >>> Sparsity(spatial=0.35, channel=0.0, neurons=0.35).spatial
        0.35
    """

    spatial: float
    channel: float
    neurons: float


class MembranePruning(nn.Module):
    """Masks weak neurons and channels of a charged membrane (SpQuant-SNN Eq. 21-23).

    Both masks are of the membrane as it was charged; what either takes is 0 for the firing, the
    reset and the store. The predictor of channels is a 1x1 convolution whose bias starts at 0, so
    that the score of a silent channel starts at 0.5 and none is masked that has not been silenced.

    Args:
        spec: What is masked.
        channels: Channels of the membrane [N, C, ...]; needed for masks of channels.

    Raises:
        ArgumentError: If `channels` is needed and missing.

    Example:
        >>> prune = MembranePruning(PruningSpec(spatial_ratio=0.5))
        >>> prune(torch.tensor([[0.1, -0.9, 0.4, 0.2]]))
        tensor([[ 0.0000, -0.9000,  0.4000,  0.0000]])
        >>> prune.sparsity()
        Sparsity(spatial=0.5, channel=0.0, neurons=0.5)
    """

    def __init__(self, spec: PruningSpec, channels: int | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.predictor: nn.Linear | None = None
        if spec.channel_threshold is not None:
            if channels is None or channels < 1:
                raise ArgumentError("channels", channels, "an integer from 1: channels are masked")
            self.predictor = nn.Linear(channels, channels)
            nn.init.zeros_(self.predictor.bias)
        self._total: Tensor | None = None  # spatial, channel, neurons, steps

    def forward(self, u: Tensor) -> Tensor:
        """Return the masked membrane of one step, shape [N, C, ...]."""
        spec = self.spec
        none = u.new_zeros((), dtype=torch.float32)
        spatial, channel = none, none
        pruned, kept = u, None
        if spec.spatial_ratio > 0:
            mask = spatial_mask(u, spec.spatial_ratio, spec.block)
            spatial = 1 - mask.float().mean()
            pruned, kept = apply_mask(pruned, mask), mask
        if self.predictor is not None and spec.channel_threshold is not None:
            gate = channel_mask(
                u,
                self.predictor.weight,
                self.predictor.bias,
                spec.channel_threshold,
                spec.channel_softmax,
            )
            open_ = gate.detach() > 0
            channel = 1 - open_.float().mean()
            pruned = apply_mask(pruned, gate)
            kept = open_.expand_as(u) if kept is None else kept & open_
        neurons = none if kept is None else 1 - kept.float().mean()
        step = torch.stack([spatial, channel, neurons, torch.ones_like(none)])
        self._total = step if self._total is None else self._total + step
        return pruned

    def restart(self) -> None:
        """Forget what was masked so far: at the beginning of a sequence."""
        self._total = None

    def sparsity(self) -> Sparsity:
        """Return what was masked since `restart`, averaged over the steps.

        Raises:
            ArgumentError: If there was no step.
        """
        if self._total is None:
            raise ArgumentError("steps", 0, "one forward or more before the sparsity is read")
        *masked, steps = self._total.tolist()
        return Sparsity(*(share / steps for share in masked))

    def extra_repr(self) -> str:
        """Say what the spec says."""
        return str(self.spec)
