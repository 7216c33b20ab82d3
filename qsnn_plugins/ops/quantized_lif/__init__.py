"""The quantized LIF neuron over all time steps, as one operator. See README.md beside this file.

    reference    a loop over `qsnn_plugins.functional`; runs wherever torch does
    cpp          C++ and OpenMP on the CPU, built on first use
    cupy         CUDA through CuPy on a GPU, built on first use; it has not been run on one yet

On a GPU, masks and leaks that cupy does not support run on the reference under torch.compile.

The environment variable QSNN_BACKEND or the argument `backend` choose one by name. Otherwise the
kernel for the input's device runs if it can; if not, the log says why, once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import check_floating
from qsnn_plugins.functional.spike import check_counts
from qsnn_plugins.functional.threshold import finite
from qsnn_plugins.ops.quantized_lif import compiled, operator, reference
from qsnn_plugins.ops.quantized_lif.backends import BACKENDS, choose, from_environment
from qsnn_plugins.ops.quantized_lif.parameters import Parameters

__all__ = ["BACKENDS", "Parameters", "choose", "quantized_lif"]


def quantized_lif(
    x_seq: Tensor,
    v: Tensor | float,
    threshold: Tensor | float,
    parameters: Parameters,
    scale: Tensor | float = 1.0,
    initialized: Tensor | bool = False,
    decay: Tensor | float = 0.5,
    backend: str | None = None,
) -> tuple[Tensor, ...]:
    r"""All steps of a neuron with a quantized membrane.

        h[t] = charge(x[t], q[t-1])
        h[t] ← masked h[t]              where `parameters.pruning` masks (SpQuant-SNN Eq. 21-22)
        s[t] = 1[h[t] >= V_th]
        q[t] = Q(reset(h[t], s[t]))

    Args:
        x_seq: Input currents, shape [T, N, ...] with T >= 1, or [T, N, C, ...] with masks; the
            batch may be empty.
        v: Stored membrane q[0], shape [N, ...], or one number for all neurons, which makes the
            backward cheaper.
        threshold: V_th, a number or a tensor of shape [] or [C, 1, ...] that broadcasts to
            [N, C, ...].
        parameters: The neuron.
        scale: Scale of a "uniform" membrane, a number or a scalar tensor; the current average if
            `parameters.scale` is "running".
        initialized: Whether this already is an average.
        decay: If `parameters.decays`, a number from 0 to 1 or a tensor of one; 1 / tau if
            `parameters.has_rate`. A tensor gets a gradient.
        backend: "reference", "cpp" or "cupy"; None uses QSNN_BACKEND, or the best one that can run.

    Returns:
        Spikes [T, N, ...] in the dtype of `x_seq`; the last stored membrane [N, ...]; and one
        float32 value per step, shape [T]: max|r| if the scale is measured, or the masked share of
        neurons; otherwise an empty tensor. With `parameters.returns_states`, the stored membranes
        of all steps are the fourth result: [T, N, ...], without a gradient.

    Raises:
        ArgumentError: If a shape or a dtype is not allowed.
        BackendError: If a backend that was chosen by name cannot run.

    Example:
        >>> x_seq = torch.tensor([[0.75, -2.0], [0.25, 0.5], [0.75, 0.5]])
        >>> spikes, last, _ = quantized_lif(x_seq, 0.0, 1.0, Parameters())
        >>> spikes, last
        (tensor([[0., 0.],
                [0., 0.],
                [1., 0.]]), tensor([0., 0.]))
        >>> from qsnn_plugins.spec import PruningSpec
        >>> x_seq = torch.tensor([[[0.75, 1.5, -0.5, 2.0]]])
        >>> pruned = Parameters(pruning=PruningSpec(spatial_ratio=0.5))
        >>> spikes, _, shares = quantized_lif(x_seq, 0.0, 1.0, pruned)
        >>> spikes, shares
        (tensor([[[0., 1., 0., 1.]]]), tensor([0.5000]))
    """
    v, threshold = _check(x_seq, v, threshold, parameters), _scalar(x_seq, finite(threshold))
    tensors: dict[str, Any] = {}
    if parameters.has_scale:
        tensors["scale"] = _one("scale", _scalar(x_seq, scale))
    if parameters.measures:
        given = _scalar(x_seq, initialized, torch.bool)
        tensors["initialized"] = _one("initialized", given).bool()
    if parameters.decays:
        tensors["decay"] = _scalar(x_seq, decay).clamp(0, 1)
    elif parameters.has_rate:
        tensors["decay"] = _scalar(x_seq, decay)
    wanted = parameters.pruning, tensors.get("decay"), parameters.returns_states
    name = choose(x_seq, v, threshold, backend, *wanted)
    arguments: Any = (x_seq, v, threshold, parameters)
    result: tuple[Tensor, ...] | None = None
    if name == "compiled":
        result = compiled.quantized_lif(*arguments, **tensors)
    elif name != "reference":
        is_named = (backend or from_environment()) is not None
        result = operator.quantized_lif(*arguments, **tensors, is_named=is_named)
    if result is None:
        result = reference.quantized_lif(*arguments, **tensors)
    spikes, last, measured, _, *states = result
    return (spikes, last, measured, *states)


def _check(
    x_seq: Tensor, v: Tensor | float, threshold: Tensor | float, parameters: Parameters
) -> Tensor:
    """Check the arguments of `quantized_lif`, and return v as a tensor."""
    for name, value in (("x_seq", x_seq), ("v", v), ("threshold", threshold)):
        if isinstance(value, Tensor):
            check_floating(name, value)
    check_counts(parameters.spike.bits, x_seq.dtype)
    least, shape = (3, "[T, N, C, ...]") if parameters.prunes else (1, "[T, N, ...]")
    if x_seq.dim() < least or x_seq.shape[0] == 0:
        raise ArgumentError("x_seq.shape", tuple(x_seq.shape), f"{shape} with T >= 1")
    if not isinstance(v, Tensor):
        v = x_seq.new_full((), v)
    if v.dim() > 0 and v.shape != x_seq.shape[1:]:
        allowed = f"{tuple(x_seq.shape[1:])}, or one number"
        raise ArgumentError("v.shape", tuple(v.shape), allowed)
    return v


def _one(name: str, value: Tensor) -> Tensor:
    """Return the one number of a tensor, shape []."""
    if value.numel() != 1:
        raise ArgumentError(f"{name}.shape", tuple(value.shape), "() or (1,)")
    return value.reshape(())


def _scalar(x_seq: Tensor, value: Tensor | float, dtype: torch.dtype | None = None) -> Tensor:
    """Return a number as a tensor beside the currents, at least in float32 unless `dtype` says."""
    if isinstance(value, Tensor):
        return value
    return x_seq.new_full((), value, dtype=dtype or torch.promote_types(x_seq.dtype, torch.float32))
