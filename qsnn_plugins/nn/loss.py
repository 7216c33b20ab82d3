"""Losses as modules, for recipes."""

from __future__ import annotations

from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.loss import tet_loss

__all__ = ["TETLoss"]


class TETLoss(nn.Module):
    """Temporal efficient training loss, `functional.tet_loss`.

    Args:
        lamb: λ from 0 to 1; SpQuant-SNN uses 0.45 for VGG networks and 0.90 for ResNets.
        target: Value that the second term pulls logits to.

    Raises:
        ArgumentError: If λ is not in [0, 1].

    Example:
        >>> import torch
        >>> TETLoss(lamb=0.0)(torch.zeros(2, 1, 4), torch.tensor([3]))
        tensor(1.3863)
    """

    def __init__(self, lamb: float = 0.45, target: float = 1.0) -> None:
        super().__init__()
        if not 0 <= lamb <= 1:
            raise ArgumentError("lamb", lamb, "a number from 0 to 1")
        self.lamb, self.target = lamb, target

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of logits [T, N, K] against classes [N]."""
        return tet_loss(outputs, labels, self.lamb, self.target)

    def extra_repr(self) -> str:
        """Name λ and the target."""
        return f"lamb={self.lamb}, target={self.target}"
