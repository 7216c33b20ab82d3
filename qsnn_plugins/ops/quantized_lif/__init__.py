"""The quantized LIF neuron over all time steps, as one operator. See README.md beside this file.

    reference    a loop over `qsnn_plugins.functional`; runs wherever torch does
    cpp          C++ and OpenMP on the CPU, built on first use
    cupy         CUDA through CuPy on a GPU, built on first use; it has not been run on one yet

The environment's QSNN_BACKEND, or the argument `backend`, choose one by name. Otherwise the kernel
of the input's device runs where it can, and the log says once why it does not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qsnn_plugins.ops.quantized_lif import operator, reference
from qsnn_plugins.ops.quantized_lif.arguments import checked_tensors, scalar_of
from qsnn_plugins.ops.quantized_lif.backends import BACKENDS, choose
from qsnn_plugins.ops.quantized_lif.masked import masked_lif
from qsnn_plugins.ops.quantized_lif.parameters import Parameters

__all__ = ["BACKENDS", "Parameters", "choose", "masked_lif", "quantized_lif"]


def quantized_lif(
    x_seq: Tensor,
    v: Tensor | float,
    threshold: Tensor | float,
    parameters: Parameters,
    scale: Tensor | float = 1.0,
    has_seen: Tensor | bool = False,
    decay: Tensor | float = 0.5,
    backend: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""All steps of a neuron with a quantized membrane.

        h[t] = charge(x[t], q[t-1])    s[t] = 1[h[t] >= V_th]    q[t] = Q(reset(h[t], s[t]))

    Args:
        x_seq: Input currents, shape [T, N, ...] with T >= 1; the batch may be empty.
        v: Stored membrane q[0], shape [N, ...] or one number for all neurons, which costs the
            backward nothing.
        threshold: V_th, a number or a tensor of shape [] or [C, 1, ...] that broadcasts to
            [N, C, ...].
        parameters: The neuron.
        scale: Scale of a "uniform" membrane, a number or a scalar tensor; the average so far where
            `parameters.scale` is "running".
        has_seen: Whether that is an average already.
        decay: Where `parameters.decays`, a number from 0 to 1 or a scalar tensor; 1 / tau where
            `parameters.has_rate`. A tensor gets its gradient.
        backend: "reference", "cpp" or "cupy"; None takes QSNN_BACKEND, or what can run.

    Returns:
        Spikes [T, N, ...] of the dtype of `x_seq`, the last stored membrane [N, ...], and max|r| of
        every step, [T], or [0] where `parameters` measures no scale.

    Raises:
        ArgumentError: If a shape or a dtype is not allowed.
        BackendError: If a backend that was asked for by name cannot run.

    Example:
        >>> x_seq = torch.tensor([[0.75, -2.0], [0.25, 0.5], [0.75, 0.5]])
        >>> spikes, last, _ = quantized_lif(x_seq, 0.0, 1.0, Parameters())
        >>> spikes, last
        (tensor([[0., 0.],
                [0., 0.],
                [1., 0.]]), tensor([0., 0.]))
    """
    given = x_seq, v, threshold, parameters, scale, decay
    v, threshold, tensors = checked_tensors(*given)
    if parameters.measures:
        tensors["has_seen"] = scalar_of(x_seq, has_seen, torch.bool)
    name = choose(x_seq, v, threshold, backend, leak=tensors.get("decay"))
    run = reference.quantized_lif if name == "reference" else operator.quantized_lif
    return run(x_seq, v, threshold, parameters, **tensors)
