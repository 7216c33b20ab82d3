"""Membrane pruning as a module that says what it pruned."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.pruning import prune_membrane
from qsnn_plugins.nn.recomputation import is_recomputing
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
        spec, predictor = self.spec, self.predictor
        own = None if predictor is None else (predictor.weight, predictor.bias)
        how = spec.channel_threshold, spec.channel_softmax
        pruned, shares = prune_membrane(u, spec.spatial_ratio, spec.block, own, *how)
        self.observe(shares)
        return pruned

    def observe(self, shares: Tensor) -> None:
        """Take into the account a step that was masked elsewhere.

        Args:
            shares: What `functional.prune_membrane` says of a step, shape [3].
        """
        if is_recomputing():  # counted already
            return
        step = torch.cat([shares.detach(), shares.new_ones(1)])
        self._total = step if self._total is None else self._total + step

    def restart(self) -> None:
        """Forget what was masked so far: at the beginning of a sequence."""
        if not is_recomputing():
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
