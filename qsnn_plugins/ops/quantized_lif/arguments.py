"""What a caller gives the fused neurons, checked and as tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import check_floating
from qsnn_plugins.ops.quantized_lif.parameters import Parameters

__all__ = ["checked_tensors", "scalar_of"]


def checked_tensors(
    x_seq: Tensor,
    v: Tensor | float,
    threshold: Tensor | float,
    parameters: Parameters,
    scale: Tensor | float,
    decay: Tensor | float,
    channels: bool = False,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Return v, the threshold, and of scale and decay what the neuron reads, by name.

    Args:
        x_seq: See `quantized_lif`, as for the others.
        v: A number becomes a tensor, as in the others.
        threshold: V_th.
        parameters: The neuron.
        scale: Scale of a "uniform" membrane.
        decay: Decay or rate of the membrane; a decay is brought into 0 to 1.
        channels: Whether x_seq has to have channels, [T, N, C, ...].

    Raises:
        ArgumentError: If a shape or a dtype is not allowed.

    Example:
        >>> x_seq = torch.zeros(2, 3)
        >>> checked_tensors(x_seq, 0.0, 1.0, Parameters(decays=True), 1.0, 1.5)
        (tensor(0.), tensor(1.), {'decay': tensor(1.)})
    """
    check_floating("x_seq", x_seq)
    least, shape = (3, "[T, N, C, ...]") if channels else (1, "[T, N, ...]")
    if x_seq.dim() < least or x_seq.shape[0] == 0:
        raise ArgumentError("x_seq.shape", tuple(x_seq.shape), f"{shape} with T >= 1")
    if not isinstance(v, Tensor):
        v = x_seq.new_full((), v)
    if v.dim() > 0 and v.shape != x_seq.shape[1:]:
        allowed = f"{tuple(x_seq.shape[1:])}, or one number"
        raise ArgumentError("v.shape", tuple(v.shape), allowed)
    tensors = {}
    if parameters.has_scale:
        tensors["scale"] = scalar_of(x_seq, scale)
    if parameters.decays:
        tensors["decay"] = scalar_of(x_seq, decay).clamp(0, 1)
    elif parameters.has_rate:
        tensors["decay"] = scalar_of(x_seq, decay)
    return v, scalar_of(x_seq, threshold), tensors


def scalar_of(x_seq: Tensor, value: Tensor | float, dtype: torch.dtype | None = None) -> Tensor:
    """Return a number as a tensor beside the currents, at least in float32 unless `dtype` says.

    Args:
        x_seq: The currents.
        value: A number; a tensor comes back as it is.
        dtype: Dtype of a number's tensor.

    Example:
        >>> scalar_of(torch.zeros(2, dtype=torch.float16), 0.5).dtype
        torch.float32
    """
    if isinstance(value, Tensor):
        return value
    return x_seq.new_full((), value, dtype=dtype or torch.promote_types(x_seq.dtype, torch.float32))
