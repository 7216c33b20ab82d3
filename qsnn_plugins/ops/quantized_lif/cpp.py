"""The fused neuron in C++ on the CPU: `kernel.cpp`, built for each kind of neuron on first use."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from qsnn_plugins.functional.pruning import channel_gate, channel_means, weak_count
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

__all__ = ["HEADERS", "SOURCE", "backward", "forward", "gate", "library", "missing", "refused"]

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
    built = ctypes.CDLL(str(build(SOURCE, (*FLAGS, *flags), HEADERS)))
    call = ctypes.POINTER(Call)
    built.qsnn_forward.argtypes = built.qsnn_backward.argtypes = (call, ctypes.c_void_p)
    built.qsnn_forward.restype = built.qsnn_backward.restype = None
    built.qsnn_parts.argtypes, built.qsnn_parts.restype = (call,), ctypes.c_int64
    return built


@lru_cache(maxsize=1024)  # a schedule may sharpen a surrogate in every epoch
def loaded(
    variant: str, numbers: tuple[float, ...], dtype: torch.dtype, threshold_per_channel: bool
) -> Loaded:
    """Return the kernel of a neuron; see `schema.kernel`."""
    flags, values = kernel(variant, numbers, dtype, threshold_per_channel)
    return Loaded(library(flags), (ctypes.c_float * len(values))(*values))


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
    if named["SPATIAL"] or named["GATES"]:
        return _forward_masked(call, built, inputs, spikes, last, variant, numbers)
    maxima = torch.empty(0 if named["SCALE"] == "GIVEN" else len(x_seq), dtype=torch.float32)
    call.maxima = maxima.data_ptr()
    built.library.qsnn_forward(call, built.numbers)
    unused = (torch.empty(0, dtype=dtype) for dtype in _UNUSED)
    return spikes, last, maxima, *unused


# dtypes of packed, cutoffs, is_open and means
_UNUSED = (torch.int32, torch.float32, torch.bool, torch.float32)


def _forward_masked(
    call: Call,
    built: Loaded,
    inputs: Inputs,
    spikes: Tensor,
    last: Tensor,
    variant: str,
    numbers: tuple[float, ...],
) -> tuple[Tensor, ...]:
    """Run step by step: between two of them torch decides which channels are open."""
    x_seq, weight, named = inputs.x_seq, inputs.weight, choices(variant)
    steps, samples = x_seq.shape[:2]
    ratio = numbers[NUMBERS.index("spatial_ratio")]
    _divide_in_maps(call, x_seq, named["GATES"], ratio)
    channels = (0,) if weight is None else (steps, samples, call.maps)
    means = torch.empty(channels, dtype=None if weight is None else weight.dtype)
    is_open = torch.empty(channels, dtype=torch.bool)
    cutoffs = torch.empty((steps, samples) if named["SPATIAL"] else (0,), dtype=torch.float32)
    counts = torch.zeros(steps, samples, 2, dtype=torch.int64)
    for name, tensor in (("is_open", is_open), ("cutoffs", cutoffs), ("counts", counts)):
        setattr(call, name, tensor.data_ptr())
    for step in range(steps + 1):
        call.step = step
        built.library.qsnn_forward(call, built.numbers)
        if weight is not None and step < steps:
            means[step] = channel_means(last.to(means.dtype))
            is_open[step] = gate(means[step], weight, inputs.bias, variant, numbers) > 0
    shares = _shares(counts, is_open, x_seq[0].numel())
    return spikes, last, shares, torch.empty(0, dtype=torch.int32), cutoffs, is_open, means


def _divide_in_maps(call: Call, x_seq: Tensor, gates: bool, ratio: float) -> None:
    _, samples, *own = x_seq.shape
    size, maps = math.prod(own), own[0] if gates else 1
    call.samples, call.maps, call.map_size = samples, maps, size // max(maps, 1)
    call.rank = weak_count(size, ratio)


def gate(
    means: Tensor, weight: Tensor, bias: Tensor | None, variant: str, numbers: Sequence[float]
) -> Tensor:
    """Return 0 or 1 for each of the channels' means [N, C], as `channel_gate` does.

    Args:
        means: Means of the channels.
        weight: See `channel_gate`, as for the next.
        bias: See there.
        variant: What `Parameters.variant` returns.
        numbers: What `Parameters.numbers` returns.
    """
    threshold, softmax = numbers[NUMBERS.index("channel_threshold")], choices(variant)["SOFTMAX"]
    return channel_gate(means, weight, bias, threshold, softmax)


def _shares(counts: Tensor, is_open: Tensor, neurons: int) -> Tensor:
    """Masked shares of each step, [T, 3], rounded as `prune_membrane` rounds them."""
    spatial, either = (1 - counts.sum(1).float() / neurons).unbind(1)
    channels = [1 - step.float().mean() for step in is_open] if is_open.dim() > 1 else []
    channel = torch.stack(channels) if channels else torch.zeros_like(spatial)
    return torch.stack([spatial, channel, either], 1)


def backward(
    grad_spikes: Tensor,
    grad_last: Tensor | None,
    maxima: Tensor | None,
    packed: Tensor,
    cutoffs: Tensor,
    is_open: Tensor,
    inputs: Inputs,
    variant: str,
    numbers: tuple[float, ...],
) -> tuple[Tensor, ...]:
    """Return the gradients of x_seq, v, threshold, scale, leak and gates.

    Of what is not read or does not learn it is empty.

    Args:
        grad_spikes: Gradient of the spikes, [T, N, ...].
        grad_last: Gradient of the last membrane, [N, ...], or None.
        maxima: What `forward` measured, or None where it did not.
        packed: What `forward` returned, as in the next two; nothing on the CPU.
        cutoffs: The spatial mask's.
        is_open: The channel mask.
        inputs: The tensors.
        variant: What `Parameters.variant` returns.
        numbers: What `Parameters.numbers` returns.
    """
    named, inputs = choices(variant), inputs.contiguous()
    x_seq, v, threshold = inputs.x_seq, inputs.v, inputs.threshold
    learns = named["LEARNING"] != "FIXED"
    neurons, gates = x_seq.shape[1:], named["GATES"]
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
        maxima=maxima,
        cutoffs=cutoffs,
        is_open=is_open,
        grad_spikes=grad_spikes,
        grad_last=grad_last,
        grad_x=grad_x,
        grad_v=grad_v if v.shape == neurons else None,
        grad_thresholds=grad_thresholds,
        sums=sums,
    )
    call.threads = _threads(x_seq)
    if gates or named["SPATIAL"]:
        _divide_in_maps(call, x_seq, gates, 0.0)
    parts = (built.library.qsnn_parts(call),) if gates else ()
    grad_gates = torch.zeros(*is_open.shape, *parts, dtype=torch.float32)
    call.grad_gates = grad_gates.data_ptr()
    built.library.qsnn_backward(call, built.numbers)
    nothing = torch.empty(0, dtype=torch.float32)
    return (
        grad_x,
        grad_v,
        threshold_gradient(sums[0], grad_thresholds, threshold) if learns else nothing,
        sums[1].float() if named["SCALE_LEARNS"] else nothing.clone(),
        sums[2].float() if named["LEAK_LEARNS"] else nothing.clone(),
        grad_gates.double().sum(-1).float() if gates else grad_gates,
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
