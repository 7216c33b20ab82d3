"""Masks that keep weak membranes from being accumulated and fired (SpQuant-SNN 4.3)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qsnn_plugins.errors import ArgumentError

__all__ = [
    "apply_mask",
    "channel_gate",
    "channel_mask",
    "channel_means",
    "prune_membrane",
    "spatial_mask",
    "weak_count",
]


def _importance(u: Tensor, block: int) -> Tensor:
    magnitude = u.detach().abs()
    if block == 1:
        return magnitude
    maps = magnitude.reshape(-1, 1, *u.shape[-2:])
    pooled = F.avg_pool2d(maps, block, ceil_mode=True, count_include_pad=False)
    spread = pooled.repeat_interleave(block, -2).repeat_interleave(block, -1)
    return spread[..., : u.shape[-2], : u.shape[-1]].reshape(u.shape)


def weak_count(size: int, ratio: float) -> int:
    """How many of a sample's neurons `spatial_mask` masks where no two membranes are alike.

    Args:
        size: Neurons of a sample.
        ratio: p, the share of neurons to mask, from 0 to below 1.

    Returns:
        The share p of `size`, rounded down.

    Raises:
        ArgumentError: If the ratio is not allowed.

    Example:
        >>> weak_count(10, 0.35)
        3
    """
    if not 0 <= ratio < 1:
        raise ArgumentError("ratio", ratio, "a number from 0 to below 1")
    return int(ratio * size)


def spatial_mask(u: Tensor, ratio: float = 0.35, block: int = 1) -> Tensor:
    r"""Mask of the neurons whose membrane matters (SpQuant-SNN Eq. 21-22).

        A = |u|,    M = 1[A >= θ_p],    θ_p such that the share p of a sample's neurons is below

    The paper leaves the score open; this is the simplest faithful one, taken at each step anew
    and for each sample by itself, so that no sample depends on its batch. Equal scores at θ_p are
    all kept: fewer than the share p are then masked, and none of a silent layer. The released
    code's learned score is commented out of its forward pass.

    Args:
        u: Charged membrane of one step, shape [N, ...].
        ratio: p, the share of neurons to mask, from 0 to below 1; the paper's is 0.35.
        block: Side of the square of neurons that shares a score, their mean; above 1 `u` has to
            end in [H, W].

    Returns:
        Mask, true where the neuron is kept (and where its membrane is NaN), shape of `u`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> spatial_mask(torch.tensor([[0.1, -0.9, 0.4, 0.2]]), ratio=0.5)
        tensor([[False,  True,  True, False]])
    """
    if not isinstance(block, int) or block < 1:
        raise ArgumentError("block", block, "an integer from 1")
    if u.dim() < (2 if block == 1 else 3):
        shape = "[N, ...]" if block == 1 else "[N, ..., H, W]"
        raise ArgumentError("u.shape", tuple(u.shape), shape)
    scores = _importance(u, block).flatten(1)
    count = weak_count(scores.shape[1], ratio)
    if count == 0:
        return torch.ones_like(u, dtype=torch.bool)
    cutoff = scores.kthvalue(count + 1, dim=1, keepdim=True).values
    return ~(scores < cutoff).reshape(u.shape)


class _ApplyGate(torch.autograd.Function):
    @staticmethod
    def forward(u: Tensor, gate: Tensor) -> Tensor:
        return torch.where(gate > 0, u, 0.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        u, gate = ctx.saved_tensors
        grad_gate = (grad * u).sum_to_size(gate.shape) if ctx.needs_input_grad[1] else None
        return torch.where(gate > 0, grad, 0.0), grad_gate


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(score: Tensor, threshold: float) -> Tensor:
        return (score > threshold).to(score.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def channel_means(u: Tensor) -> Tensor:
    """What the predictor of channels watches: the mean over a channel's map (SpQuant-SNN Eq. 23).

    Args:
        u: Membrane of one step, shape [N, C, ...].

    Returns:
        Means, shape [N, C]; without a gradient, as the released code decouples the predictor from
        what it watches.

    Raises:
        ArgumentError: If `u` has no channels.

    Example:
        >>> channel_means(torch.tensor([[[3.0, 1.0], [-2.0, 0.0]]]))
        tensor([[ 2., -1.]])
    """
    if u.dim() < 2:
        raise ArgumentError("u.shape", tuple(u.shape), "[N, C, ...]")
    u = u.detach()
    return u.flatten(2).mean(2) if u.dim() > 2 else u


def channel_gate(
    means: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    threshold: float = 0.47,
    softmax: bool = False,
) -> Tensor:
    """Which channels are worth computing, from their means; see `channel_mask`.

    Args:
        means: Mean membrane of each channel, shape [N, C].
        weight: W, shape [C_out, C].
        bias: b, shape [C_out].
        threshold: θ, between 0 and 1.
        softmax: Whether the means go through a softmax first.

    Returns:
        0 or 1, shape [N, C_out], with a gradient straight through to σ.

    Raises:
        ArgumentError: If the threshold is not allowed.

    Example:
        >>> channel_gate(torch.tensor([[2.0, -1.0]]), torch.eye(2))
        tensor([[1., 0.]])
    """
    if not 0 < threshold < 1:
        raise ArgumentError("threshold", threshold, "a number between 0 and 1")
    means = means.to(weight.dtype)
    if softmax:
        means = means.softmax(1)
    return _Gate.apply(F.linear(means, weight, bias).sigmoid(), threshold)


def channel_mask(
    u: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    threshold: float = 0.47,
    softmax: bool = False,
) -> Tensor:
    r"""Mask of the channels that are worth computing (SpQuant-SNN Eq. 23).

        M = 1[σ(W · pool(u) + b) > θ]

    pool is the mean over a channel's map, W a 1x1 convolution. The paper prints a softmax over the
    channels where σ stands; with θ = 0.47 it would keep two channels at most, whatever their
    number. The gate's gradient is straight through to σ, so that W and b learn; u is detached, as
    the released code decouples the predictor from what it watches.

    Args:
        u: Membrane of one step, shape [N, C, ...].
        weight: W, shape [C_out, C]: of one layer's own channels, or of the next layer's.
        bias: b, shape [C_out].
        threshold: θ between 0 and 1: 0.47 in the paper, 0.5 in the released code.
        softmax: Whether the pooled channels go through a softmax first, as in the released code.

    Returns:
        Mask 0 or 1, shape [N, C_out, 1, ...] with the number of dimensions of `u`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> u = torch.tensor([[[3.0, 1.0], [-2.0, 0.0]]])
        >>> channel_mask(u, torch.eye(2)).flatten()
        tensor([1., 0.])
    """
    if u.dim() < 2 or u.shape[1] != weight.shape[1]:
        allowed = f"[N, {weight.shape[1]}, ...], the channels of weight"
        raise ArgumentError("u.shape", tuple(u.shape), allowed)
    # pooled in the dtype of the predictor: means of 16 bits would lose what it weighs
    means = channel_means(u.to(weight.dtype))
    gate = channel_gate(means, weight, bias, threshold, softmax).to(u.dtype)
    return gate.reshape(*gate.shape, *(1,) * (u.dim() - 2))


def apply_mask(u: Tensor, mask: Tensor) -> Tensor:
    r"""Masked membrane, u ← u M: what is masked neither fires nor is accumulated.

    It is 0, and gets the gradient 0, whatever u is there: infinite or NaN too.

    Args:
        u: Charged membrane, shape [N, ...].
        mask: Boolean, or 0 and 1 with a gradient; broadcasts to `u`.

    Returns:
        Masked membrane, shape of `u`.

    Example:
        >>> apply_mask(torch.tensor([-2.0, 3.0]), torch.tensor([False, True]))
        tensor([0., 3.])
    """
    if mask.dtype == torch.bool:
        return torch.where(mask, u, 0.0)
    return _ApplyGate.apply(u, mask)


def prune_membrane(
    u: Tensor,
    ratio: float = 0.35,
    block: int = 1,
    predictor: tuple[Tensor, Tensor | None] | None = None,
    threshold: float | None = 0.47,
    softmax: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""Membrane under both masks (SpQuant-SNN Eq. 21-23), and how much they took.

        u ← u M_s M_c,    both masks of the membrane as it was charged

    Args:
        u: Charged membrane of one step, shape [N, C, ...].
        ratio: See `spatial_mask`; 0 masks no neuron.
        block: See `spatial_mask`.
        predictor: W and b of `channel_mask`, or None: no channel is masked.
        threshold: See `channel_mask`; None masks no channel either.
        softmax: See `channel_mask`.

    Returns:
        Masked membrane, shape of `u`, and shares from 0 to 1, float32 of shape [3]: neurons that
        the spatial mask took, channels that the other took, neurons that either took.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> prune_membrane(torch.tensor([[0.1, -0.9, 0.4, 0.2]]), ratio=0.5)
        (tensor([[ 0.0000, -0.9000,  0.4000,  0.0000]]), tensor([0.5000, 0.0000, 0.5000]))
    """
    spatial = channel = either = u.new_zeros((), dtype=torch.float32)
    pruned, kept = u, None
    if predictor is not None and threshold is not None:
        gate = channel_mask(u, *predictor, threshold, softmax)
        kept = (gate.detach() > 0).expand_as(u)
        channel = 1 - (gate.detach() > 0).float().mean()
        pruned = apply_mask(pruned, gate)
    if ratio > 0:
        mask = spatial_mask(u, ratio, block)
        spatial = 1 - mask.float().mean()
        pruned = apply_mask(pruned, mask)
        kept = mask if kept is None else kept & mask
    if kept is not None:
        either = 1 - kept.float().mean()
    return pruned, torch.stack([spatial, channel, either])
