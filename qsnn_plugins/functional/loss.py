"""Losses over time-major outputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from qsnn_plugins.errors import ArgumentError

__all__ = ["tet_loss"]


def tet_loss(outputs: Tensor, labels: Tensor, lamb: float = 0.45, target: float = 1.0) -> Tensor:
    r"""Temporal efficient training loss, as SpQuant-SNN and IM-SNN train with.

        L = (1 - λ) 1/T Σ_t CE(o[t], y) + λ MSE(o, m)

    The second term pulls every logit of every step towards the constant m = V_th. λ is the
    "regularization level β" of SpQuant-SNN, 0.45 for its VGG networks.

    Args:
        outputs: Logits of every step, shape [T, N, K].
        labels: Classes 0..K-1, shape [N], int64.
        lamb: λ from 0 to 1.
        target: m.

    Returns:
        Scalar loss.

    Raises:
        ArgumentError: If `outputs` is not of shape [T, N, K] with T >= 1, or λ is not in [0, 1].

    Example:
        >>> tet_loss(torch.zeros(2, 1, 4), torch.tensor([3]), lamb=0.0)  # ln 4
        tensor(1.3863)
    """
    if outputs.dim() != 3 or outputs.shape[0] < 1:
        raise ArgumentError("outputs.shape", tuple(outputs.shape), "[T, N, K] with T >= 1")
    if not 0 <= lamb <= 1:
        raise ArgumentError("lamb", lamb, "a number from 0 to 1")
    steps = outputs.shape[0]
    cross_entropy = F.cross_entropy(outputs.flatten(0, 1), labels.repeat(steps))
    towards_target = F.mse_loss(outputs, torch.full_like(outputs, target))
    return (1 - lamb) * cross_entropy + lamb * towards_target
