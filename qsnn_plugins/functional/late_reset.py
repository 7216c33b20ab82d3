"""Stored membranes for a reset that happens one step later."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.functional.autograd import Function
from qsnn_plugins.functional.scale import cast

__all__ = ["keep_comparison"]


class _KeepComparison(Function):
    @staticmethod
    def forward(q: Tensor, fired: Tensor, threshold: Tensor) -> Tensor:
        above = threshold * (1 + torch.finfo(q.dtype).eps)  # 1 or 2 units in the last place
        return cast(torch.where(fired, q.maximum(above), q.minimum(threshold)), q.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad, None, None


def keep_comparison(q: Tensor, fired: Tensor, threshold: Tensor) -> Tensor:
    r"""Stored membrane, moved to the side of the threshold on which the unquantized membrane was.

        m = max(q, V_th⁺)  where it fired,   min(q, V_th)  where not;   so that  m > V_th ⇔ fired

    V_th⁺ is the next number above V_th. snnTorch resets in the step after a spike, and knows the
    spike only from m > V_th. With coarse levels this would be wrong: a ternary +1 is never above a
    threshold of 1, and always above 0.75. A table of levels needs one more code, V_th or V_th⁺,
    depending on which one the rounding crosses. Ternary membranes still need 2 bits.

    Args:
        q: Quantized membrane before the reset, any shape.
        fired: Whether a neuron fired, boolean, shape of `q`.
        threshold: V_th, above 0, a tensor that broadcasts to `q`, of its dtype.

    Returns:
        Membrane to store, shape and dtype of `q`; the gradient goes straight through.

    Example:
        >>> fired = torch.tensor([False, True, False])
        >>> keep_comparison(torch.tensor([1.0, 1.0, 0.0]), fired, torch.tensor(1.0)) > 1.0
        tensor([False,  True, False])
    """
    return _KeepComparison.apply(q, fired, threshold)
