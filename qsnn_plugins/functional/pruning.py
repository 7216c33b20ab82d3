"""Masks that keep weak membranes from being accumulated and fired (SpQuant-SNN 4.3)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qsnn_plugins.errors import ArgumentError

__all__ = ["apply_mask", "channel_mask", "spatial_mask"]


def _importance(u: Tensor, block: int) -> Tensor:
    magnitude = u.detach().abs()
    if block == 1:
        return magnitude
    maps = magnitude.reshape(-1, 1, *u.shape[-2:])
    pooled = F.avg_pool2d(maps, block, ceil_mode=True, count_include_pad=False)
    spread = pooled.repeat_interleave(block, -2).repeat_interleave(block, -1)
    return spread[..., : u.shape[-2], : u.shape[-1]].reshape(u.shape)


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
    if not 0 <= ratio < 1:
        raise ArgumentError("ratio", ratio, "a number from 0 to below 1")
    if not isinstance(block, int) or block < 1:
        raise ArgumentError("block", block, "an integer from 1")
    if u.dim() < (2 if block == 1 else 3):
        shape = "[N, ...]" if block == 1 else "[N, ..., H, W]"
        raise ArgumentError("u.shape", tuple(u.shape), shape)
    scores = _importance(u, block).flatten(1)
    count = int(ratio * scores.shape[1])
    if count == 0:
        return torch.ones_like(u, dtype=torch.bool)
    border = scores.kthvalue(count + 1, dim=1, keepdim=True).values
    return ~(scores < border).reshape(u.shape)


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
    if not 0 < threshold < 1:
        raise ArgumentError("threshold", threshold, "a number between 0 and 1")
    if u.dim() < 2 or u.shape[1] != weight.shape[1]:
        allowed = f"[N, {weight.shape[1]}, ...], the channels of weight"
        raise ArgumentError("u.shape", tuple(u.shape), allowed)
    pooled = u.detach().to(weight.dtype)
    if u.dim() > 2:
        pooled = pooled.flatten(2).mean(2)
    if softmax:
        pooled = pooled.softmax(1)
    score = F.linear(pooled, weight, bias).sigmoid()
    gate = _Gate.apply(score, threshold).to(u.dtype)
    return gate.reshape(*score.shape, *(1,) * (u.dim() - 2))


def apply_mask(u: Tensor, mask: Tensor) -> Tensor:
    r"""Masked membrane, u ← u M: what is masked neither fires nor is accumulated.

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
    return u * mask
