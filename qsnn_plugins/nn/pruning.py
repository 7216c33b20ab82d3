"""Spatial masks of membranes as a module, which also measures the masked share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.pruning import prune_membrane
from qsnn_plugins.nn.recomputation import is_recomputing
from qsnn_plugins.spec import PruningSpec

__all__ = ["MembranePruning"]


class MembranePruning(nn.Module):
    """Masks the weakest neurons of a charged membrane (SpQuant-SNN Eq. 21-22).

    Channel gates are not part of the neuron: see `ChannelGate`.

    Args:
        spec: What is masked.

    Example:
        >>> prune = MembranePruning(PruningSpec(spatial_ratio=0.5))
        >>> prune(torch.tensor([[0.1, -0.9, 0.4, 0.2]]), 0.0)
        tensor([[ 0.0000, -0.9000,  0.4000,  0.0000]])
        >>> prune.sparsity()
        0.5
    """

    def __init__(self, spec: PruningSpec) -> None:
        super().__init__()
        self.spec = spec
        self._total: Tensor | None = None  # share, steps

    def forward(self, h: Tensor, rest: Tensor | float = 0.0) -> Tensor:
        """Return the masked membrane of one step, shape [N, ...]; see `prune_membrane`."""
        pruned, share = prune_membrane(h, rest, self.spec.spatial_ratio, self.spec.block)
        self.observe(share)
        return pruned

    def observe(self, share: Tensor) -> None:
        """Add a step that was masked elsewhere to the statistics.

        Args:
            share: What `functional.prune_membrane` says of a step, shape [].
        """
        if is_recomputing():  # counted already
            return
        step = torch.stack([share.detach(), torch.ones_like(share)])
        step = torch.where(share.isnan(), 0.0, step)  # an empty batch has no share
        self._total = step if self._total is None else self._total + step

    def restart(self) -> None:
        """Reset the statistics, at the beginning of a sequence."""
        if not is_recomputing():
            self._total = None

    def sparsity(self) -> float:
        """Return the share of neurons masked since `restart`, averaged over the steps.

        Raises:
            ArgumentError: If there was no step.
        """
        if self._total is None:
            raise ArgumentError("steps", 0, "one forward or more before the sparsity is read")
        share, steps = self._total.tolist()
        return share / steps

    def extra_repr(self) -> str:
        """Say what the spec says."""
        return str(self.spec)
