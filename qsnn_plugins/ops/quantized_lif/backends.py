"""Which backend runs: the one that is named, or the kernel where it can."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from qsnn_plugins.debug import is_debugging
from qsnn_plugins.errors import ArgumentError, BackendError
from qsnn_plugins.ops.quantized_lif import cpp, cupy
from qsnn_plugins.ops.quantized_lif.fallback import instead
from qsnn_plugins.spec import PruningSpec

__all__ = [
    "BACKENDS",
    "choose",
    "decide",
    "from_environment",
    "kernel_of",
    "refusal",
    "use_or_warn",
    "warn_once",
]

BACKENDS = ("reference", "cpp", "cupy")
DEVICES = {"cpp": "cpu", "cupy": "cuda"}
TYPES = (torch.float32, torch.float16, torch.bfloat16)

_log = logging.getLogger("qsnn_plugins.ops")


def choose(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    backend: str | None = None,
    pruning: PruningSpec | None = None,
    leak: Tensor | None = None,
    returns_states: bool = False,
) -> str:
    """Return the name of the backend that runs these arguments.

    Args:
        x_seq: See `quantized_lif`, as for the others.
        v: Shape [N, ...] or [].
        threshold: V_th.
        backend: A name, or None.
        pruning: What is masked, if anything is.
        leak: Decay or rate of the membrane, if it is a tensor.
        returns_states: Whether the stored membranes of all steps are wanted.

    Returns:
        One of `BACKENDS`, or "compiled", the reference under torch.compile.

    Raises:
        ArgumentError: If there is no backend of this name.
        BackendError: If the backend was named and cannot run.

    Example:
        >>> x_seq, v = torch.zeros(2, 3, dtype=torch.float64), torch.zeros(3)
        >>> choose(x_seq, v, torch.tensor(1.0))
        'reference'
    """
    if backend is not None:
        check_name("backend", backend)
    named = backend or from_environment()
    if named == "reference":
        return named
    arguments = x_seq, v, threshold, pruning, leak, returns_states
    return decide(named or kernel_of(x_seq), named is not None, *arguments)


def decide(
    kernel: str,
    is_named: bool,
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    pruning: PruningSpec | None = None,
    leak: Tensor | None = None,
    returns_states: bool = False,
) -> str:
    """Return what runs, where a kernel would if it could: it, "reference" or "compiled".

    Args:
        kernel: "cpp" or "cupy".
        is_named: Whether it was asked for by name.
        x_seq: See `choose`, as for the others.
        v: Shape [N, ...] or [].
        threshold: V_th.
        pruning: What is masked, if anything is.
        leak: Decay or rate of the membrane, if it is a tensor.
        returns_states: Whether the stored membranes of all steps are wanted.

    Raises:
        BackendError: If the kernel was named and cannot run.
    """
    wanted = pruning, leak, returns_states
    reason = refusal(kernel, x_seq, v, threshold, *wanted)
    covered = reason is None or reason != _uncovered(kernel, x_seq, *wanted)
    if covered or is_named or is_debugging():
        return use_or_warn(kernel, is_named, reason)
    name, why_not = instead(x_seq.device.type, len(x_seq))
    warn_once(kernel, f"{reason}; {why_not}" if why_not else str(reason), name)
    return name


def refusal(
    kernel: str,
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    pruning: PruningSpec | None = None,
    leak: Tensor | None = None,
    returns_states: bool = False,
) -> str | None:
    """Return why a kernel cannot run these arguments, or None if it can.

    Args:
        kernel: "cpp" or "cupy".
        x_seq: See `quantized_lif`, as for the others.
        v: Shape [N, ...] or [].
        threshold: V_th.
        pruning: What is masked, if anything is.
        leak: Decay or rate of the membrane, if it is a tensor.
        returns_states: Whether the stored membranes of all steps are wanted.

    Example:
        >>> x_seq, v = torch.zeros(2, 3, dtype=torch.float64), torch.zeros(3)
        >>> refusal("cpp", x_seq, v, torch.tensor(1.0))
        'x_seq has the dtype torch.float64'
    """
    device = x_seq.device
    for name, tensor in (("x_seq", x_seq), ("v", v), ("threshold", threshold)):
        if tensor.dtype not in TYPES:
            return f"{name} has the dtype {tensor.dtype}"
        if tensor.device != device or device.type != DEVICES[kernel]:
            return f"{name} is on the device {tensor.device}"
    if not _is_along_one_dimension(threshold.shape, x_seq.shape[1:]):
        return f"the threshold has the shape {tuple(threshold.shape)}"
    uncovered = _uncovered(kernel, x_seq, pruning, leak, returns_states)
    if uncovered is not None:
        return uncovered
    if is_debugging():
        return "debug mode looks at every step"
    if not torch.compiler.is_compiling() and _is_transformed():
        return "torch.func or forward-mode derivatives are taken of it"
    return _missing(kernel)


def _is_transformed() -> bool:
    """Whether derivatives are taken that no operator of torch.library has: torch drops tangents."""
    if torch.autograd.forward_ad._current_level >= 0:
        return True
    if torch._C._functorch.peek_interpreter_stack() is None:
        return False
    kinds = torch._C._functorch.TransformType
    levels = torch._C._functorch.get_interpreter_stack() or []
    return any(level.key() in (kinds.Grad, kinds.Jvp) for level in levels)


def _uncovered(
    kernel: str,
    x_seq: Tensor,
    pruning: PruningSpec | None,
    leak: Tensor | None,
    returns_states: bool,
) -> str | None:
    """Which leak, mask or result a kernel does not cover, or None if it covers them."""
    if leak is not None and leak.numel() != 1:
        return f"the leak has the shape {tuple(leak.shape)}"
    if leak is not None and leak.requires_grad and kernel == "cupy":
        return "the leak learns"
    if returns_states and kernel == "cupy":
        return "the stored membranes of all steps are wanted"
    if pruning is not None and pruning.spatial_ratio:
        if kernel == "cupy":
            return "membranes are masked before they fire"
        if pruning.block > 1:
            return f"blocks of {pruning.block} x {pruning.block} share an importance"
        if x_seq.dim() < 3:
            return f"x_seq has the shape {tuple(x_seq.shape)}, of which nothing can be masked"
    return None


def _is_along_one_dimension(own: Sequence[int], neurons: Sequence[int]) -> bool:
    """Whether thresholds are one for all neurons, or change along one dimension of theirs."""
    if len(own) == 0:
        return True
    padded = [*(1 for _ in range(len(neurons) - len(own))), *own]
    changing = [pair for pair in zip(padded, neurons, strict=False) if pair[0] != 1]
    return len(padded) == len(neurons) and (
        not changing or (len(changing) == 1 and changing[0][0] == changing[0][1])
    )


def use_or_warn(kernel: str, is_named: bool, reason: str | None) -> str:
    """Return the backend that runs, where `reason` says why the kernel does not, or None.

    Args:
        kernel: The kernel that would run.
        is_named: Whether it was asked for by name.
        reason: Why it cannot run, or None if it can.

    Returns:
        `kernel`, or "reference".

    Raises:
        BackendError: If the named kernel cannot run.

    Example:
        >>> use_or_warn("cpp", True, None)
        'cpp'
    """
    if reason is None:
        return kernel
    if is_named:
        raise BackendError(kernel, reason)
    warn_once(kernel, reason)
    return "reference"


@torch.compiler.assume_constant_result
def from_environment() -> str | None:
    """Return the backend that QSNN_BACKEND names, or None.

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


def kernel_of(x_seq: Tensor) -> str:
    """Return the kernel of the currents' device.

    Args:
        x_seq: The currents.
    """
    return "cupy" if x_seq.is_cuda else "cpp"


@torch.compiler.assume_constant_result
def _missing(kernel: str) -> str | None:
    """Why kernels cannot be built or loaded here, or None; tried once."""
    return cpp.missing() if kernel == "cpp" else cupy.missing()


@torch.compiler.assume_constant_result
def warn_once(kernel: str, reason: str, name: str = "reference") -> None:
    """Log why a kernel is refused and what runs, the first time that it is for this reason."""
    _warn(kernel, reason, name)


@cache
def _warn(kernel: str, reason: str, name: str) -> None:
    names = {"cpp": "C++", "cupy": "CUDA", "compiled": "compiled reference"}
    text = "the neuron runs on the %s, not on the %s kernel: %s"
    _log.warning(text, names.get(name, name), names[kernel], reason)
