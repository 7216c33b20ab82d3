"""Spiking self-attention of SpikingJelly with an attention matrix of few bits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from spikingjelly.activation_based import layer
from torch import Tensor, nn

from qsnn_plugins.injection import LeftAlone
from qsnn_plugins.nn import SumLimit

__all__ = ["attention", "limit_attention"]

# SpikingJelly 0.0.0.0.14 has none
_SELF_ATTENTION: Any = getattr(layer, "SpikingSelfAttention", None)
_OTHERS = tuple(
    kind
    for name in ("QKAttention", "SpikeDrivenSelfAttention")
    if (kind := getattr(layer, name, None)) is not None
)
_KERNEL = "_ssa_kernel_torch"


def attention(module: nn.Module) -> Sequence[nn.Module] | LeftAlone | None:
    """Return the neurons whose spikes a spiking self-attention multiplies, None for other modules.

    Example:
        >>> attention(nn.Linear(2, 2)) is None
        True
    """
    if isinstance(module, _OTHERS):
        return LeftAlone("only the attention matrix of SpikingSelfAttention is known")
    if _SELF_ATTENTION is None or not isinstance(module, _SELF_ATTENTION):
        return None
    host_kernel = getattr(_SELF_ATTENTION, _KERNEL, None)
    if host_kernel is None or getattr(type(module), _KERNEL) is not host_kernel:
        return LeftAlone("it multiplies otherwise than SpikingSelfAttention of SpikingJelly 2.0")
    return [module.qkv_lif]


def limit_attention(module: nn.Module, limit: SumLimit | None) -> None:
    """Have a `SpikingSelfAttention` multiply under a limit, or as the host does for None."""
    if limit is None:
        delattr(module, _KERNEL)
    else:
        setattr(module, _KERNEL, partial(_limited_kernel, limit))


# with the arguments of the host's kernel, whose tokens stand last: [T, N, 3, heads, D, L]
def _limited_kernel(limit: SumLimit, qkv: Tensor, scale: float) -> Tensor:
    q, k, v = qkv.transpose(-2, -1).unbind(2)
    return limit.attend(q, k, v, scale).transpose(-2, -1)
