"""The quantized LIF neuron over all time steps, as one operator. See README.md beside this file.

    reference    a loop over `qsnn_plugins.functional`; runs wherever torch does
    cpp          C++ and OpenMP on the CPU, built on first use

The environment's QSNN_BACKEND, or the argument `backend`, choose one by name. Otherwise the kernel
runs where it can, and the log says once why it does not.
"""

from __future__ import annotations

import logging
import os
from functools import cache

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError, BackendError
from qsnn_plugins.functional.scale import check_floating
from qsnn_plugins.ops.quantized_lif import cpp, reference
from qsnn_plugins.ops.quantized_lif.parameters import Parameters

__all__ = ["BACKENDS", "Parameters", "asked_for", "choose", "quantized_lif", "settle"]

BACKENDS = ("reference", "cpp", "cupy")

_log = logging.getLogger("qsnn_plugins.ops")


def quantized_lif(
    x_seq: Tensor,
    v: Tensor | float,
    threshold: Tensor | float,
    parameters: Parameters,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    r"""All steps of a neuron with a quantized membrane.

        h[t] = charge(x[t], q[t-1])    s[t] = 1[h[t] >= V_th]    q[t] = Q(reset(h[t], s[t]))

    Args:
        x_seq: Input currents, shape [T, N, ...] with T >= 1; the batch may be empty.
        v: Stored membrane q[0], shape [N, ...] or one number for all neurons, which costs the
            backward nothing.
        threshold: V_th, a number or a tensor of shape [] or one that broadcasts to [N, ...].
        parameters: The neuron.
        backend: "reference" or "cpp"; None takes QSNN_BACKEND, or what can run.

    Returns:
        Spikes [T, N, ...] of the dtype of `x_seq`, and the last stored membrane [N, ...].

    Raises:
        ArgumentError: If a shape or a dtype is not allowed.
        BackendError: If a backend that was asked for by name cannot run.

    Example:
        >>> x_seq = torch.tensor([[0.75, -2.0], [0.25, 0.5], [0.75, 0.5]])
        >>> quantized_lif(x_seq, 0.0, 1.0, Parameters())
        (tensor([[0., 0.],
                [0., 0.],
                [1., 0.]]), tensor([0., 0.]))
    """
    check_floating("x_seq", x_seq)
    if x_seq.dim() == 0 or x_seq.shape[0] == 0:
        raise ArgumentError("x_seq.shape", tuple(x_seq.shape), "[T, N, ...] with T >= 1")
    if not isinstance(v, Tensor):
        v = x_seq.new_full((), v)
    if v.dim() > 0 and v.shape != x_seq.shape[1:]:
        allowed = f"{tuple(x_seq.shape[1:])}, or one number"
        raise ArgumentError("v.shape", tuple(v.shape), allowed)
    if not isinstance(threshold, Tensor):
        threshold = x_seq.new_full((), threshold, dtype=cpp.wide_type(x_seq.dtype))
    name = choose(x_seq, v, threshold, parameters, backend)
    run = cpp.quantized_lif if name == "cpp" else reference.quantized_lif
    return run(x_seq, v, threshold, parameters)


def choose(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    parameters: Parameters,
    backend: str | None = None,
) -> str:
    """Return the name of the backend that runs these arguments.

    Args:
        x_seq: See `quantized_lif`, as for the others.
        v: Shape [N, ...] or [].
        threshold: V_th.
        parameters: The neuron.
        backend: A name, or None.

    Returns:
        "reference" or "cpp".

    Raises:
        ArgumentError: If there is no backend of this name.
        BackendError: If the backend was asked for by name and cannot run.

    Example:
        >>> x_seq, v = torch.zeros(2, 3, dtype=torch.float64), torch.zeros(3)
        >>> choose(x_seq, v, torch.tensor(1.0), Parameters())
        'reference'
    """
    if backend is not None:
        check_name("backend", backend)
    named = backend or asked_for()
    if named == "reference":
        return named
    return settle(named, cpp.refusal(x_seq, v, threshold, parameters))


def settle(named: str | None, reason: str | None) -> str:
    """Return the backend that runs, where `reason` says why the kernel does not, or None.

    Args:
        named: The backend that was asked for by name, or None.
        reason: Why the kernel cannot run, or None if it can.

    Returns:
        "reference" or "cpp".

    Raises:
        BackendError: If the named backend cannot run.

    Example:
        >>> settle("cpp", None)
        'cpp'
    """
    if named == "cupy":
        raise BackendError(named, "it is not part of this version of qsnn-plugins")
    if reason is None:
        return "cpp"
    if named is not None:
        raise BackendError(named, reason)
    say_once(reason)
    return "reference"


@torch.compiler.assume_constant_result
def asked_for() -> str | None:
    """Return the backend that the environment names, or None.

    Raises:
        ArgumentError: If there is no such backend.
    """
    named = os.environ.get("QSNN_BACKEND") or None
    if named is not None:
        check_name("QSNN_BACKEND", named)
    return named


def check_name(argument: str, name: str) -> None:
    """Raise an error that names `argument` unless there is a backend of this name.

    Raises:
        ArgumentError: If there is none.
    """
    if name not in BACKENDS:
        raise ArgumentError(argument, name, f"one of {', '.join(BACKENDS)}")


@torch.compiler.assume_constant_result
def say_once(reason: str) -> None:
    """Log why the kernel is refused, the first time that it is for this reason."""
    _say(reason)


@cache
def _say(reason: str) -> None:
    _log.warning("the neuron runs on the reference, not on the C++ kernel: %s", reason)
