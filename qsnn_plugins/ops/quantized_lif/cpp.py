"""The fused neuron in C++ on the CPU: `kernel.cpp`, built for each kind of neuron on first use."""

from __future__ import annotations

import ctypes
from functools import cache, lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from qsnn_plugins.functional.pruning import weak_count
from qsnn_plugins.ops.compiler import FLAGS, BuildError, build
from qsnn_plugins.ops.quantized_lif.parameters import NUMBERS, Parameters
from qsnn_plugins.ops.quantized_lif.schema import (
    FOLDER,
    Call,
    Inputs,
    call_of,
    choices,
    kernel,
)

__all__ = ["HEADERS", "SOURCE", "backward", "forward", "library", "missing", "refused"]

SOURCE = FOLDER / "kernel.cpp"
HEADERS = tuple(
    FOLDER / name
    for name in ("values.h", "variant.h", "layout.h", "neuron.h", "blocks.h", "masks.h")
)
SMALL = 1 << 15  # neurons times steps below which a second thread costs more than it brings


class Loaded(NamedTuple):
    """A kernel, and `Numbers` of layout.h, which it is called with."""

    library: ctypes.CDLL
    numbers: ctypes.Array[ctypes.c_float]


@cache
def library(flags: tuple[str, ...]) -> ctypes.CDLL:
    """Return the kernel that is built with these flags.

    Args:
        flags: Flags of the compiler, `schema.Kernel.flags`.

    Raises:
        BuildError: If it cannot be built.
        OSError: If it cannot be loaded.
    """
    purpose = "building the C++ kernel for this kind of neuron"
    built = ctypes.CDLL(str(build(SOURCE, (*FLAGS, *flags), HEADERS, purpose)))
    call = ctypes.POINTER(Call)
    built.qsnn_forward.argtypes = built.qsnn_backward.argtypes = (call, ctypes.c_void_p)
    built.qsnn_forward.restype = built.qsnn_backward.restype = None
    return built


@lru_cache(maxsize=1024)  # a schedule may sharpen a surrogate in every epoch
def loaded(
    variant: str, numbers: tuple[float, ...], dtype: torch.dtype, threshold_per_channel: bool
) -> Loaded:
    """Return the kernel of a neuron; see `schema.kernel`."""
    flags, values = kernel(variant, numbers, dtype, threshold_per_channel)
    return Loaded(library(flags), (ctypes.c_float * len(values))(*values))


@cache
def missing() -> str | None:
    """Return why kernels cannot be built or loaded here, or None; tried with the commonest."""
    neuron = Parameters()
    return refused(neuron.variant(), tuple(neuron.numbers()), torch.float32, False)


@lru_cache(maxsize=1024)
def refused(
    variant: str, numbers: tuple[float, ...], dtype: torch.dtype, threshold_per_channel: bool
) -> str | None:
    """Return why the kernel of a neuron cannot be built or loaded, or None; tried once.

    Args:
        variant: See `schema.kernel`, as for the others.
        numbers: What `Parameters.numbers` returns.
        dtype: Type of the currents and spikes.
        threshold_per_channel: Whether each channel has a threshold of its own.
    """
    try:
        loaded(variant, numbers, dtype, threshold_per_channel)
    except BuildError as error:
        return str(error)
    except OSError as error:
        return f"the kernel does not load: {error}"
    return None


def forward(inputs: Inputs, variant: str, numbers: tuple[float, ...]) -> tuple[Tensor, ...]:
    """Return spikes, the last membrane, what was measured, and what a backward needs besides x.

    Args:
        inputs: The tensors.
        variant: What `Parameters.variant` returns.
        numbers: What `Parameters.numbers` returns.
    """
    named, inputs = choices(variant), inputs.contiguous()
    x_seq = inputs.x_seq
    spikes, last = torch.empty_like(x_seq), torch.empty(x_seq.shape[1:], dtype=torch.float32)
    built = loaded(variant, numbers, x_seq.dtype, inputs.threshold.dim() > 0)
    call = call_of(inputs, spikes=spikes, last=last)
    call.threads = _threads(x_seq)
    steps, samples = x_seq.shape[0], x_seq.shape[1] if named["SPATIAL"] else 0
    measured = torch.empty(0 if named["SCALE"] == "GIVEN" else steps, dtype=torch.float32)
    cutoffs = torch.empty((steps, samples) if samples else (0,), dtype=torch.float32)
    states = torch.empty(x_seq.shape if named["RETURNS_STATES"] else (0,), dtype=torch.float32)
    counts = torch.empty(steps, samples, dtype=torch.int64)
    running = torch.empty(0 if named["SCALE"] == "GIVEN" else steps + 1, 3)
    tensors = {"maxima": measured, "running": running, "cutoffs": cutoffs, "states": states}
    tensors["counts"] = counts
    for name, tensor in tensors.items():
        setattr(call, name, tensor.data_ptr())
    if named["SPATIAL"]:
        size = x_seq[0].numel()
        call.samples = samples
        call.rank = weak_count(size // max(samples, 1), numbers[NUMBERS.index("spatial_ratio")])
        built.library.qsnn_forward(call, built.numbers)
        # rounded as `prune_membrane` rounds
        measured = 1 - (size - counts.sum(1)).float() / size
    else:
        built.library.qsnn_forward(call, built.numbers)
    return spikes, last, measured, running, torch.empty(0, dtype=torch.int32), cutoffs, states


def backward(
    grad_spikes: Tensor,
    grad_last: Tensor | None,
    running: Tensor,
    packed: Tensor,
    cutoffs: Tensor,
    inputs: Inputs,
    variant: str,
    numbers: tuple[float, ...],
) -> tuple[Tensor, ...]:
    """Return the gradients of x_seq, v, threshold, scale and leak.

    Of what is not read or does not learn it is empty.

    Args:
        grad_spikes: Gradient of the spikes, [T, N, ...].
        grad_last: Gradient of the last membrane, [N, ...], or None.
        running: What `forward` returned, as in the next: the scale of each step.
        packed: Nothing on the CPU.
        cutoffs: The spatial mask's.
        inputs: The tensors.
        variant: What `Parameters.variant` returns.
        numbers: What `Parameters.numbers` returns.
    """
    named, inputs = choices(variant), inputs.contiguous()
    x_seq, v, threshold = inputs.x_seq, inputs.v, inputs.threshold
    learns = named["LEARNING"] != "FIXED"
    neurons = x_seq.shape[1:]
    grad_spikes = grad_spikes.to(x_seq.dtype).contiguous()
    grad_last = None if grad_last is None else grad_last.float().contiguous()
    grad_x = torch.empty_like(x_seq)
    grad_v = torch.empty(neurons if v.shape == neurons else 0, dtype=torch.float32)
    per_channel = threshold.dim() > 0 and learns
    grad_thresholds = torch.empty(neurons, dtype=torch.float32) if per_channel else None
    sums = torch.zeros(3, dtype=torch.float64)  # of threshold, scale and leak
    built = loaded(variant, numbers, x_seq.dtype, threshold.dim() > 0)
    call = call_of(
        inputs,
        running=running,
        cutoffs=cutoffs,
        grad_spikes=grad_spikes,
        grad_last=grad_last,
        grad_x=grad_x,
        grad_v=grad_v if v.shape == neurons else None,
        grad_thresholds=grad_thresholds,
        sums=sums,
    )
    call.threads = _threads(x_seq)
    if named["SPATIAL"]:
        call.samples = x_seq.shape[1]
    built.library.qsnn_backward(call, built.numbers)
    nothing = torch.empty(0, dtype=torch.float32)
    return (
        grad_x,
        grad_v,
        threshold_gradient(sums[0], grad_thresholds, threshold) if learns else nothing,
        sums[1].float() if named["SCALE_LEARNS"] else nothing.clone(),
        sums[2].float() if named["LEAK_LEARNS"] else nothing.clone(),
    )


def threshold_gradient(total: Tensor, per_neuron: Tensor | None, threshold: Tensor) -> Tensor:
    """Return the gradient of one threshold or of each channel's, in the shape of `threshold`.

    Args:
        total: Of all neurons, in double precision.
        per_neuron: Of each, where each channel's learns.
        threshold: V_th.
    """
    if per_neuron is not None:
        return per_neuron.double().sum_to_size(threshold.shape).float()
    return total.float().expand(threshold.shape)


def _threads(x_seq: Tensor) -> int:
    return 1 if x_seq.numel() < SMALL else torch.get_num_threads()
