"""Losses as modules, for recipes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.loss import (
    RateReduction,
    mean_cross_entropy_loss,
    rate_mse_loss,
    tet_loss,
    wsdr_loss,
)

__all__ = ["MeanCrossEntropyLoss", "RateMSELoss", "TETLoss", "WSDRLoss"]


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
        """Return the loss of logits [T, N, K] against classes [N], or [N, K]."""
        return tet_loss(outputs, labels, self.lamb, self.target)

    def extra_repr(self) -> str:
        """Name λ and the target."""
        return f"lamb={self.lamb}, target={self.target}"


class WSDRLoss(nn.Module):
    """Loss of Q-SNN with its spike regulation, `functional.wsdr_loss`.

    Args:
        lamb: λ, from 0; the paper's is 1e-3.
        reduction: "mean" over the hidden layers (released) or their "sum" (printed).

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> WSDRLoss()(torch.zeros(2, 1, 4), torch.tensor([3]), [torch.tensor(0.5)] * 3)
        tensor(1.3863)
    """

    def __init__(self, lamb: float = 1e-3, reduction: RateReduction = "mean") -> None:
        super().__init__()
        if not lamb >= 0:
            raise ArgumentError("lamb", lamb, "a number from 0")
        if reduction not in get_args(RateReduction):
            allowed = f"one of {', '.join(get_args(RateReduction))}"
            raise ArgumentError("reduction", reduction, allowed)
        self.lamb, self.reduction = lamb, reduction

    def forward(self, outputs: Tensor, labels: Tensor, rates: Sequence[Tensor]) -> Tensor:
        """Return the loss of logits [T, N, K], classes or probabilities, and firing rates."""
        return wsdr_loss(outputs, labels, rates, self.lamb, self.reduction)

    def extra_repr(self) -> str:
        """Name λ and the reduction."""
        return f"lamb={self.lamb}, reduction={self.reduction}"


class RateMSELoss(nn.Module):
    """Mean squared distance of output spikes from one-hot labels, `functional.rate_mse_loss`.

    Example:
        >>> import torch
        >>> RateMSELoss()(torch.tensor([[[0.0, 1.0]], [[1.0, 1.0]]]), torch.tensor([1]))
        tensor(0.2500)
    """

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of output spikes [T, N, K] against classes [N], or [N, K]."""
        return rate_mse_loss(outputs, labels)


class MeanCrossEntropyLoss(nn.Module):
    """Cross entropy of the logits' mean over time, `functional.mean_cross_entropy_loss`.

    Args:
        label_smoothing: Share of the target that is spread over all classes, from 0 to 1.

    Raises:
        ArgumentError: If the share is not in [0, 1].

    Example:
        >>> import torch
        >>> MeanCrossEntropyLoss(0.1)(torch.zeros(2, 1, 4), torch.tensor([3]))
        tensor(1.3863)
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing <= 1:
            raise ArgumentError("label_smoothing", label_smoothing, "a number from 0 to 1")
        self.label_smoothing = label_smoothing

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of logits [T, N, K] against classes [N], or [N, K]."""
        return mean_cross_entropy_loss(outputs, labels, self.label_smoothing)

    def extra_repr(self) -> str:
        """Name the share."""
        return f"label_smoothing={self.label_smoothing}"
