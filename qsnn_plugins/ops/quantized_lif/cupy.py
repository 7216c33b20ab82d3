"""The fused neuron in CUDA on a GPU: `kernel.cu`, built for each kind of neuron on first use."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qsnn_plugins.ops.quantized_lif.cpp import threshold_gradient
from qsnn_plugins.ops.quantized_lif.parameters import Parameters
from qsnn_plugins.ops.quantized_lif.schema import FOLDER, Inputs, Kernel, call_of, choices, kernel
from qsnn_plugins.progress import phase

__all__ = [
    "FILES",
    "backward",
    "compiled",
    "flags",
    "forward",
    "held_steps",
    "launch",
    "missing",
    "packed_shape",
    "packs",
    "refused",
    "source",
    "stream_of",
]

FILES = ("values.h", "variant.h", "layout.h", "neuron.h", "lanes.h", "kernel.cu")
OLDEST = 13  # CuPy
BLOCK = 128  # threads
VECTOR = 16  # bytes that a thread loads at once
HELD = 32768  # bytes of recomputed membranes that a block has room for
SUMS = BLOCK // 32 * 2 * 8  # bytes that a block adds up in
STEPS_PER_WORD = 16  # of membranes in 2 bits, in an int32


@cache
def missing() -> str | None:
    """Return why kernels cannot be built or run here, or None; tried with the commonest.

    Example:
        >>> reason = missing()
        >>> reason is None or "CuPy" in reason
        True
    """
    neuron = Parameters()
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        return f"CuPy cannot be imported: {error}"
    if int(cupy.__version__.partition(".")[0]) < OLDEST:
        return f"CuPy {cupy.__version__} is older than {OLDEST}"
    return refused(neuron.variant(), tuple(neuron.numbers()), torch.float32, False)


@lru_cache(maxsize=1024)
def refused(
    variant: str, numbers: tuple[float, ...], dtype: torch.dtype, threshold_per_channel: bool
) -> str | None:
    """Return why the kernel of a neuron cannot be built, or None; tried once.

    Args:
        variant: See `schema.kernel`, as for the others.
        numbers: What `Parameters.numbers` returns.
        dtype: Type of the currents and spikes.
        threshold_per_channel: Whether each channel has a threshold of its own.
    """
    built = kernel(variant, numbers, dtype, threshold_per_channel)
    try:
        compiled("qsnn_forward_vector", flags(built))
    # CuPy, its compiler and the driver each raise their own; the run goes on without the kernel
    except Exception as error:
        text = str(error).strip()
        reason = f"CuPy cannot build it: {type(error).__name__}: {text.partition(chr(10))[0]}"
        lacks_toolkit = "cannot open source file" in text or "libnvrtc" in text
        return f"{reason}; {_toolkit()}" if lacks_toolkit else reason
    return None


def _toolkit() -> str:
    """Which wheels have CUDA's compiler and headers, where the machine has none."""
    major = (torch.version.cuda or "13").partition(".")[0]
    return f"CUDA's compiler and headers come with pip install 'cupy-cuda{major}x[ctk]'"


@cache
def source() -> str:
    """Return kernel.cu behind the text of its headers, so that CuPy's cache sees a change there.

    Example:
        >>> '#include "' in source()
        False
    """
    lines = "".join((FOLDER / name).read_text("utf-8") for name in FILES).splitlines()
    left_out = '#include "', "#pragma once"
    return "\n".join(line for line in lines if not line.startswith(left_out))


def flags(built: Kernel) -> tuple[str, ...]:
    """Return the flags of the compiler. Without contraction everything rounds as on the CPU.

    Args:
        built: What `schema.kernel` returns.
    """
    return "--std=c++17", "--fmad=false", f"-DQSNN_BLOCK={BLOCK}", *built.flags


@cache
def compiled(name: str, flags: tuple[str, ...]) -> Any:
    """Return a kernel, which CuPy builds once for each device that it is launched on.

    Args:
        name: Its name in kernel.cu.
        flags: Flags of the compiler.
    """
    module = importlib.import_module("cupy").RawModule(code=source(), options=flags)
    with phase("building the CUDA kernel for this kind of neuron, once"):
        return module.get_function(name)


def launch(
    name: str,
    flags: tuple[str, ...],
    blocks: int,
    shared: int,
    calls: Sequence[bytes],
    device: torch.device,
) -> None:
    """Launch a kernel once for each call on torch's current stream of a device, and do not wait.

    Args:
        name: Its name in kernel.cu.
        flags: Flags of the compiler.
        blocks: How many blocks of threads.
        shared: Bytes of memory that a block shares.
        calls: `Launch` of lanes.h, which goes by value.
        device: The device.
    """
    cupy = importlib.import_module("cupy")
    with cupy.cuda.Device(device.index), stream_of(device):
        run = compiled(name, flags)
        for call in calls:
            by_value = np.frombuffer(call, dtype=f"V{len(call)}")
            run((blocks,), (BLOCK,), (by_value,), shared_mem=shared)


class _TorchStream:
    def __init__(self, pointer: int) -> None:
        self.pointer = pointer

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.pointer


def stream_of(device: torch.device) -> Any:
    """Return torch's current stream of a device as one of CuPy's.

    Args:
        device: The device.
    """
    cuda = importlib.import_module("cupy").cuda
    pointer = torch.cuda.current_stream(device).cuda_stream
    if hasattr(cuda.Stream, "from_external"):  # since CuPy 14
        return cuda.Stream.from_external(_TorchStream(pointer))
    return cuda.ExternalStream(pointer, device.index)


def held_steps(dtype: torch.dtype) -> int:
    """Return of how many steps a backward holds the recomputed membranes at once.

    Args:
        dtype: Type of the currents.

    Example:
        >>> held_steps(torch.float32), held_steps(torch.float16)
        (16, 8)
    """
    return HELD // (BLOCK * (VECTOR // dtype.itemsize) * 4)


def packs(x_seq: Tensor, parameters: Parameters) -> bool:
    """Whether a forward that trains saves its membranes in 2 bits.

    It does where a backward could not hold all steps at once, and 2 bits tell what was stored:
    one of up to three levels, or NaN.

    Args:
        x_seq: Input currents, shape [T, N, ...].
        parameters: The neuron.

    Example:
        >>> packs(torch.empty(40, 2), Parameters()), packs(torch.empty(4, 2), Parameters())
        (True, False)
    """
    is_small = 0 < len(parameters.levels) <= 3 and not parameters.has_scale
    return is_small and not parameters.reset_is_late and len(x_seq) > held_steps(x_seq.dtype)


def packed_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of membranes that are saved in 2 bits.

    Args:
        shape: That of the currents, [T, N, ...].

    Example:
        >>> packed_shape((40, 2, 5))
        (3, 2, 5)
    """
    return -(-shape[0] // STEPS_PER_WORD), *shape[1:]


class Launcher:
    """Launches kernels on the tensors of one call.

    Args:
        inputs: The tensors, contiguous.
        built: What `schema.kernel` returns.
        **more: Other tensors that `Call` names, which threads read and write as they do x_seq.
    """

    def __init__(self, inputs: Inputs, built: Kernel, **more: Tensor | None) -> None:
        x_seq, v = inputs.x_seq, inputs.v
        self.flags, self.device = flags(built), x_seq.device
        self.call = call_of(inputs, **more)
        numbers = [*built.numbers, *(0.0 for _ in range(len(built.numbers) % 2))]
        self.numbers = np.array(numbers, dtype=np.float32).tobytes()  # a multiple of 8 bytes
        self.inputs, own = inputs, [v] if self.call.v_is_each else []
        self.vectors = [t for t in (x_seq, *own, *more.values()) if t is not None]
        is_aligned = all(vector.data_ptr() % VECTOR == 0 for vector in self.vectors)
        width = VECTOR // x_seq.dtype.itemsize
        self.width = width if is_aligned and self.call.neurons % width == 0 else 1
        self.blocks = math.ceil(self.call.neurons / (self.width * BLOCK))

    def run(self, name: str, places: int = 0, steps: int = 1) -> None:
        """Launch a kernel over all neurons.

        Args:
            name: "qsnn_forward" or "qsnn_backward".
            places: Of how many steps a thread holds its membranes.
            steps: How often it is launched, for `Call.step` from 0 on.
        """
        if self.blocks:
            kind = "scalar" if self.width == 1 else "vector"
            shared = max(SUMS, places * self.width * BLOCK * 4)
            calls = []
            for step in range(steps):
                self.call.step = step
                calls.append(bytes(self.call) + self.numbers)
            launch(f"{name}_{kind}", self.flags, self.blocks, shared, calls, self.device)


def forward(inputs: Inputs, variant: str, numbers: tuple[float, ...]) -> tuple[Tensor, ...]:
    """Return spikes, the last membrane, the steps' maxima, and what a backward needs besides x.

    Args:
        inputs: The tensors.
        variant: What `Parameters.variant` returns.
        numbers: What `Parameters.numbers` returns.
    """
    named, inputs = choices(variant), inputs.contiguous()
    x_seq = inputs.x_seq
    steps, measures = len(x_seq), named["SCALE"] != "GIVEN"

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return x_seq.new_empty(shape, dtype=dtype)

    spikes, last = torch.empty_like(x_seq), empty(*x_seq.shape[1:])
    maxima = x_seq.new_zeros(steps if measures else 0, dtype=torch.float32)
    words = packed_shape(x_seq.shape) if named["PACKS"] else (0,)
    packed = empty(*words, dtype=torch.int32)
    built = kernel(variant, numbers, x_seq.dtype, inputs.threshold.dim() > 0)
    launcher = Launcher(inputs, built, spikes=spikes, last=last, packed=packed)
    running = empty(steps + 1 if measures else 0, 3)
    if measures and not x_seq.numel():
        running[:, :2], running[:, 2] = inputs.scale, inputs.initialized  # type: ignore[assignment]
    elif measures:  # step by step: each needs the maximum that the one before it left
        launcher.call.maxima, launcher.call.running = maxima.data_ptr(), running.data_ptr()
        launcher.run("qsnn_forward", steps=steps + 1)
    else:
        launcher.run("qsnn_forward")
    return spikes, last, maxima, running, packed, empty(0), empty(0)


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
    """Return the gradients of x_seq, v, threshold and scale; leaks do not learn here.

    Of what is not read or does not learn it is empty.

    Args:
        grad_spikes: Gradient of the spikes, [T, N, ...].
        grad_last: Gradient of the last membrane, [N, ...], or None.
        running: What `forward` returned, as in the next: the scale of each step.
        packed: Membranes in 2 bits.
        cutoffs: Nothing on a GPU, which masks no membranes.
        inputs: The tensors.
        variant: What `Parameters.variant` returns.
        numbers: What `Parameters.numbers` returns.
    """
    named, inputs = choices(variant), inputs.contiguous()
    x_seq, v, threshold = inputs.x_seq, inputs.v, inputs.threshold
    steps, neurons, is_packed = len(x_seq), x_seq.shape[1:], named["PACKS"]

    def empty(*shape: int) -> Tensor:
        return x_seq.new_empty(shape, dtype=torch.float32)

    grad_x, grad_v = torch.empty_like(x_seq), empty(*(neurons if v.shape == neurons else (0,)))
    learns, scale_learns = named["LEARNING"] != "FIXED", named["SCALE_LEARNS"]
    per_channel = threshold.dim() > 0 and learns
    grad_thresholds = empty(*neurons) if per_channel else None
    segment = min(steps, held_steps(x_seq.dtype))
    launcher = Launcher(
        inputs,
        kernel(variant, numbers, x_seq.dtype, threshold.dim() > 0),
        grad_spikes=grad_spikes.to(x_seq.dtype).contiguous(),
        grad_last=None if grad_last is None else grad_last.float().contiguous(),
        grad_x=grad_x,
        grad_v=grad_v if v.shape == neurons else None,
        grad_thresholds=grad_thresholds,
        packed=packed.contiguous(),
        kept=None if is_packed else empty(math.ceil(steps / segment) - 1, *neurons),
    )
    sums = x_seq.new_empty(launcher.blocks if learns or scale_learns else 0, 2, dtype=torch.float64)
    call = launcher.call
    call.sums, call.running, call.segment = sums.data_ptr(), running.data_ptr(), segment
    late = named["RESET_IS_LATE"]
    launcher.run("qsnn_backward", places=0 if is_packed else segment + late)
    # where nothing learns, nothing more is launched
    is_summed = scale_learns or (learns and not per_channel)
    total = sums.sum(0) if is_summed else sums.new_empty(2)
    return (
        grad_x,
        grad_v,
        threshold_gradient(total[0], grad_thresholds, threshold) if learns else empty(0),
        total[1].float() if scale_learns else empty(0),
        empty(0),
    )
