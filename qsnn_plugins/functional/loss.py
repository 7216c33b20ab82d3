"""Losses over time-major outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from qsnn_plugins.errors import ArgumentError

__all__ = [
    "RateReduction",
    "mean_cross_entropy_loss",
    "rate_mse_loss",
    "spike_regulation",
    "tet_loss",
    "wsdr_loss",
]

RateReduction = Literal["mean", "sum"]


def _checked(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the labels, probabilities in the precision of the outputs."""
    if outputs.dim() != 3 or outputs.shape[0] < 1:
        raise ArgumentError("outputs.shape", tuple(outputs.shape), "[T, N, K] with T >= 1")
    samples, classes = outputs.shape[1:]
    shape = (samples, classes) if labels.is_floating_point() else (samples,)
    if labels.shape != shape or labels.dtype == torch.bool or labels.is_complex():
        given = f"{labels.dtype} {list(labels.shape)}"
        allowed = f"classes, int64 [{samples}], or probabilities, floating [{samples}, {classes}]"
        raise ArgumentError("labels", given, allowed)
    return labels.to(outputs.dtype) if labels.is_floating_point() else labels.long()


def _step_cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(outputs.flatten(0, 1), torch.cat([labels] * outputs.shape[0]))


def tet_loss(outputs: Tensor, labels: Tensor, lamb: float = 0.45, target: float = 1.0) -> Tensor:
    r"""Temporal efficient training loss, used by SpQuant-SNN and IM-SNN.

        L = (1 - λ) 1/T Σ_t CE(o[t], y) + λ MSE(o, m)

    The second term pulls every logit of every step towards the constant m = V_th. λ is the
    "regularization level β" of SpQuant-SNN, 0.45 for its VGG networks.

    Args:
        outputs: Logits of every step, shape [T, N, K].
        labels: Classes 0..K-1, shape [N], int64, or probabilities, shape [N, K].
        lamb: λ from 0 to 1.
        target: m.

    Returns:
        Scalar loss.

    Raises:
        ArgumentError: If `outputs` is not of shape [T, N, K] with T >= 1, the labels do not fit
            it, or λ is not in [0, 1].

    Example:
        >>> tet_loss(torch.zeros(2, 1, 4), torch.tensor([3]), lamb=0.0)  # ln 4
        tensor(1.3863)
    """
    labels = _checked(outputs, labels)
    if not 0 <= lamb <= 1:
        raise ArgumentError("lamb", lamb, "a number from 0 to 1")
    towards_target = F.mse_loss(outputs, torch.full_like(outputs, target))
    return (1 - lamb) * _step_cross_entropy(outputs, labels) + lamb * towards_target


def spike_regulation(
    rates: Sequence[Tensor],
    reduction: RateReduction = "mean",
    target: float = 0.5,
    hidden_only: bool = True,
) -> Tensor:
    r"""Spike term of WS-DR: firing rates near one half carry the most bits (Q-SNN Eq. 15).

        L_s = Σ_l (f_l - 0.5)²    over the hidden layers

    The paper prints the sum, the released code uses the mean. With the same λ = 1e-3, the sum has
    about 15 times the weight in a ResNet-19. The default is the form with which the published
    networks were trained.

    Args:
        rates: Firing rate f_l of each spiking layer, scalars in the order of the network.
        reduction: "mean" (released) or "sum" (printed).
        target: Desired firing rate.
        hidden_only: Whether the first and the last layer of `rates` are left out, as in paper and
            code.

    Returns:
        Scalar loss.

    Raises:
        ArgumentError: If `reduction` is unknown, or no layer is left.

    Example:
        >>> rates = [torch.tensor(rate) for rate in (0.9, 0.1, 0.4, 0.0)]
        >>> spike_regulation(rates), spike_regulation(rates, "sum")
        (tensor(0.0850), tensor(0.1700))
    """
    if reduction not in get_args(RateReduction):
        raise ArgumentError("reduction", reduction, f"one of {', '.join(get_args(RateReduction))}")
    counted = list(rates)[1:-1] if hidden_only else list(rates)
    if not counted:
        least = "three firing rates or more" if hidden_only else "one firing rate or more"
        raise ArgumentError("rates", f"{len(rates)} layers", least)
    squares = (torch.stack(counted) - target) ** 2
    return squares.mean() if reduction == "mean" else squares.sum()


def wsdr_loss(
    outputs: Tensor,
    labels: Tensor,
    rates: Sequence[Tensor],
    lamb: float = 1e-3,
    reduction: RateReduction = "mean",
) -> Tensor:
    r"""Loss of Q-SNN with its weight-spike dual regulation (Q-SNN Eq. 16).

        L = 1/T Σ_t CE(o[t], y) + λ L_s

    The other part of the regulation acts on the weights (Eq. 14), before they are quantized.

    Args:
        outputs: Logits of every step, shape [T, N, K].
        labels: Classes 0..K-1, shape [N], int64, or probabilities, shape [N, K].
        rates: See `spike_regulation`.
        lamb: λ, from 0.
        reduction: See `spike_regulation`.

    Returns:
        Scalar loss.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> rates = [torch.tensor(0.5)] * 3
        >>> wsdr_loss(torch.zeros(2, 1, 4), torch.tensor([3]), rates)
        tensor(1.3863)
    """
    labels = _checked(outputs, labels)
    if not lamb >= 0:
        raise ArgumentError("lamb", lamb, "a number from 0")
    return _step_cross_entropy(outputs, labels) + lamb * spike_regulation(rates, reduction)


def rate_mse_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    r"""Mean squared distance of output spikes from the labels (Shymyrbay et al., Eq. 10).

        L = 1/T Σ_t 1/K Σ_k (s[t, k] - y[k])²    averaged over the batch, y one-hot

    Args:
        outputs: Spikes or votes of every step, shape [T, N, K].
        labels: Classes 0..K-1, shape [N], int64, or probabilities, shape [N, K].

    Returns:
        Scalar loss.

    Raises:
        ArgumentError: If `outputs` is not of shape [T, N, K] with T >= 1, or the labels do not fit
            it.

    Example:
        >>> rate_mse_loss(torch.tensor([[[0.0, 1.0]], [[1.0, 1.0]]]), torch.tensor([1]))
        tensor(0.2500)
    """
    labels = _checked(outputs, labels)
    if not labels.is_floating_point():
        labels = F.one_hot(labels, outputs.shape[-1]).to(outputs.dtype)
    return F.mse_loss(outputs, labels.expand_as(outputs))


def mean_cross_entropy_loss(
    outputs: Tensor, labels: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    r"""Cross entropy of the logits' mean over time, used by SEW-ResNet and Spikformer.

        L = CE(1/T Σ_t o[t], y)

    It is smaller than the mean of the cross entropies of the steps, `tet_loss` with λ = 0, unless
    all steps agree. Smoothing changes probabilities y to (1 - s) y + s / K, as it does for classes.

    Args:
        outputs: Logits of every step, shape [T, N, K].
        labels: Classes 0..K-1, shape [N], int64, or probabilities, shape [N, K].
        label_smoothing: Share of the target that is spread over all classes, from 0 to 1.

    Returns:
        Scalar loss.

    Raises:
        ArgumentError: If `outputs` is not of shape [T, N, K] with T >= 1, the labels do not fit
            it, or the share is not in [0, 1].

    Example:
        >>> outputs = torch.tensor([[[2.0, 0.0]], [[-2.0, 0.0]]])  # the steps cancel: ln 2
        >>> mean_cross_entropy_loss(outputs, torch.tensor([1]))
        tensor(0.6931)
    """
    labels = _checked(outputs, labels)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError("label_smoothing", label_smoothing, "a number from 0 to 1")
    return F.cross_entropy(outputs.mean(0), labels, label_smoothing=label_smoothing)
