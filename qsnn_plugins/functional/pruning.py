"""Spatial masks of neurons and channel gates (SpQuant-SNN 4.3)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.autograd import Function
from qsnn_plugins.functional.scale import wide

__all__ = [
    "apply_mask",
    "channel_gate",
    "channel_means",
    "input_attention",
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
    """Number of neurons per sample that `spatial_mask` masks if all membranes are different.

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
    return int(round(ratio * size, 6))  # 0.29 times 100 is 28.999...


def spatial_mask(u: Tensor, ratio: float = 0.35, block: int = 1) -> Tensor:
    r"""Mask of the neurons with important membranes (SpQuant-SNN Eq. 21-22).

        A = |u|,    M = 1[A >= θ_p],    θ_p such that the share p of a sample's neurons is below

    The paper does not define the score. This is the simplest score that fits its text, computed in
    each step and for each sample separately, so that samples do not depend on their batch. All
    scores equal to θ_p are kept, so fewer neurons than the share p may be masked, and none in a
    silent layer. The released code has a learned score, which is commented out in its forward pass.

    Args:
        u: Charged membrane of one step, shape [N, ...].
        ratio: p, the share of neurons to mask, from 0 to below 1; the paper's is 0.35.
        block: Side length of square blocks of neurons that share one score, their mean; above 1,
            the last dimensions of `u` must be [H, W].

    Returns:
        Mask in the shape of `u`, true for neurons that are kept (and for NaN membranes).

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> spatial_mask(torch.tensor([[0.1, -0.9, 0.4, 0.2]]), ratio=0.5)
        tensor([[False,  True,  True, False]])
    """
    if not isinstance(block, int) or block < 1:
        raise ArgumentError("block", block, "an integer from 1")
    if u.dim() < (2 if block == 1 else 3):
        blocks = f"[N, ..., H, W] for blocks of {block} x {block}; with block=1 any layer is masked"
        shape = "[N, ...]" if block == 1 else blocks
        raise ArgumentError("u.shape", tuple(u.shape), shape)
    scores = _importance(u, block).flatten(1)
    count = weak_count(scores.shape[1], ratio)
    if count == 0:
        return torch.ones_like(u, dtype=torch.bool)
    cutoff = scores.kthvalue(count + 1, dim=1, keepdim=True).values
    return ~(scores < cutoff).reshape(u.shape)


class _ApplyGate(Function):
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


class _Gate(Function):
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
    """Input of a channel predictor: the mean over the map of each channel (SpQuant-SNN 4.3.2).

    Args:
        u: Membranes, shape [N, C, ...].

    Returns:
        Means, shape [N, C], at least float32; without a gradient, as the released code detaches the
        predictor from its input.

    Raises:
        ArgumentError: If `u` has no channels.

    Example:
        >>> channel_means(torch.tensor([[[3.0, 1.0], [-2.0, 0.0]]]))
        tensor([[ 2., -1.]])
    """
    if u.dim() < 2:
        raise ArgumentError("u.shape", tuple(u.shape), "[N, C, ...]")
    u = wide(u.detach())
    return u.flatten(2).mean(2) if u.dim() > 2 else u


def input_attention(x: Tensor) -> Tensor:
    """Input of the released channel predictor: a softmax over a quarter of the input channels.

    Every fourth channel and every fourth pixel along each side are used if there are four or more;
    the released code subsamples channels and both sides by interpolation. (It uses all three
    channels of an image, and cannot run with one or two channels or sides below four; here these
    are not subsampled.)

    Args:
        x: Input of a convolution, shape [N, C, ...].

    Returns:
        Shape [N, C // 4], or [N, C] for fewer than four channels; at least float32, without a
        gradient.

    Raises:
        ArgumentError: If `x` has no channels.

    Example:
        >>> input_attention(torch.arange(8.0).reshape(1, 8, 1))
        tensor([[0.0180, 0.9820]])
    """
    for dim in range(1, x.dim()):
        size = x.shape[dim]
        if size >= 4:
            x = x.narrow(dim, 0, size // 4 * 4)[(slice(None),) * dim + (slice(None, None, 4),)]
    return channel_means(x).softmax(1)


def channel_gate(
    means: Tensor, weight: Tensor, bias: Tensor | None = None, threshold: float = 0.47
) -> Tensor:
    r"""Gate of the output channels of a convolution (SpQuant-SNN Eq. 23).

        M = 1[σ(W · pool(u) + b) > θ]

    pool is the mean over the map of each of the C_in input channels of the convolution, and W is a
    1x1 convolution to its C_out outputs. The paper prints a softmax over the channels instead of σ,
    which with θ = 0.47 would keep at most two channels. The gradient of the step is
    straight-through, so that W and b are trained.

    Args:
        means: Result of `channel_means` or `input_attention`, shape [N, C_in].
        weight: W, shape [C_out, C_in].
        bias: b, shape [C_out].
        threshold: θ between 0 and 1: 0.47 in the paper, 0.5 in the released code.

    Returns:
        0 or 1, shape [N, C_out].

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> channel_gate(torch.tensor([[2.0, -1.0]]), torch.eye(2))
        tensor([[1., 0.]])
    """
    if not 0 < threshold < 1:
        raise ArgumentError("threshold", threshold, "a number between 0 and 1")
    if means.dim() != 2 or means.shape[1] != weight.shape[1]:
        allowed = f"[N, {weight.shape[1]}], the channels of weight"
        raise ArgumentError("means.shape", tuple(means.shape), allowed)
    return _Gate.apply(F.linear(means.to(weight.dtype), weight, bias).sigmoid(), threshold)


def apply_mask(x: Tensor, mask: Tensor) -> Tensor:
    r"""Masked values, x ← x M.

    Masked values are 0 and have the gradient 0, even if x is infinite or NaN.

    Args:
        x: Shape [N, ...].
        mask: Boolean, or 0 and 1 with a gradient; broadcasts to `x`.

    Returns:
        Shape of `x`.

    Example:
        >>> apply_mask(torch.tensor([-2.0, 3.0]), torch.tensor([False, True]))
        tensor([0., 3.])
    """
    if mask.dtype == torch.bool:
        return torch.where(mask, x, 0.0)
    return _ApplyGate.apply(x, mask)


def prune_membrane(
    h: Tensor, rest: Tensor | float = 0.0, ratio: float = 0.35, block: int = 1
) -> tuple[Tensor, Tensor]:
    r"""Charged membrane after the spatial mask (SpQuant-SNN Eq. 21-22), and the masked share.

        h ← M h + (1 - M) rest,    M = spatial_mask(h)

    Masked neurons do not accumulate: "we skip the membrane potential accumulation for
    non-significant membrane values before the accumulate-and-fire operation". Then `rest` is the
    membrane charged without the input of this step, so the accumulated membrane is kept and leaks.
    With `rest` = 0 the whole membrane is erased, u ← u M.

    Args:
        h: Charged membrane of one step, shape [N, ...].
        rest: Value of a masked membrane: a number, or a tensor that broadcasts to `h`.
        ratio: See `spatial_mask`, as for the next.
        block: See there.

    Returns:
        Shape of `h`, and the share that is masked, float32 of shape [].

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> h, rest = torch.tensor([[0.1, -0.9, 0.4, 0.2]]), torch.tensor([[0.5, -0.5, 0.0, 0.0]])
        >>> prune_membrane(h, rest, ratio=0.5)
        (tensor([[ 0.5000, -0.9000,  0.4000,  0.0000]]), tensor(0.5000))
    """
    mask = spatial_mask(h, ratio, block)
    return torch.where(mask, h, rest), 1 - mask.float().mean()
