"""Building `kernel.cu` through CuPy, and launching what is in it on torch's stream."""

from __future__ import annotations

import ctypes
import importlib
import math
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qsnn_plugins.ops.quantized_lif.parameters import Given, Plain
from qsnn_plugins.ops.quantized_lif.saved import BLOCK
from qsnn_plugins.ops.quantized_lif.variant import VALUES, defines, inner_size, numbers

__all__ = ["Launcher", "flags", "kernel", "launch", "source", "stream_of"]

FOLDER = Path(__file__).parent
FILES = ("neuron.h", "values.h", "lanes.h", "kernel.cu")
VECTOR = 16  # bytes that a thread loads at once
SUMS = BLOCK // 32 * 2 * 8  # bytes that a block adds up in


class Call(ctypes.Structure):
    """`Call` of lanes.h, up to its numbers."""

    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in ("steps", "neurons", "inner", "channels", "v_is_each", "step", "segment")
        ),
        *(
            (name, ctypes.c_void_p)
            for name in (
                *("x", "v", "threshold", "scale", "decay", "has_seen"),
                *("sends", "last", "maxima", "running", "packed"),
                *("of_sent", "of_last", "of_x", "of_v", "of_threshold", "kept", "sums"),
            )
        ),
    )


@cache
def source() -> str:
    """Return kernel.cu behind the text of its headers, so that CuPy's cache sees a change there.

    Example:
        >>> '#include "' in source()
        False
    """
    lines = "".join((FOLDER / name).read_text() for name in FILES).splitlines()
    left_out = '#include "', "#pragma once"
    return "\n".join(line for line in lines if not line.startswith(left_out))


def flags(
    dtype: torch.dtype, plain: Plain, threshold_a_channel: bool, scale_learns: bool, packs: bool
) -> tuple[str, ...]:
    """Return the flags of the compiler. Without contraction everything rounds as on the CPU.

    Args:
        dtype: Type of the currents and spikes.
        plain: The neuron.
        threshold_a_channel: Whether each channel has a threshold of its own.
        scale_learns: Whether the membrane's scale wants a gradient.
        packs: Whether membranes are saved in 2 bits.

    Example:
        >>> from qsnn_plugins.ops.quantized_lif.parameters import Parameters
        >>> flags(torch.float32, Parameters().plain(), False, False, False)[:3]
        ('--std=c++17', '--fmad=false', '-DQSNN_VALUE=float')
    """
    fixed = "--std=c++17", "--fmad=false", f"-DQSNN_VALUE={VALUES[dtype]}"
    sizes = f"-DQSNN_BLOCK={BLOCK}", f"-DQSNN_PACKS={int(packs)}"
    return *fixed, *sizes, *defines(plain, threshold_a_channel, scale_learns)


class Launcher:
    """Launches kernels on the tensors of one call.

    Args:
        given: The tensors, in order.
        plain: The neuron.
        scale_learns: Whether the membrane's scale wants a gradient.
        packs: Whether membranes are saved in 2 bits.
        **more: Other tensors that `Call` names.
    """

    def __init__(
        self, given: Given, plain: Plain, scale_learns: bool, packs: bool, **more: Tensor | None
    ) -> None:
        x_seq, v, threshold = given.x_seq, given.v, given.threshold
        kind = x_seq.dtype, threshold.dim() > 0, scale_learns, packs
        self.choices, self.numbers = _prepared(*kind, plain)
        self.device = x_seq.device
        self.call = Call(
            steps=len(x_seq),
            neurons=math.prod(x_seq.shape[1:]),
            inner=inner_size(threshold.shape, x_seq.shape),
            channels=threshold.numel(),
            v_is_each=v.shape == x_seq.shape[1:],
            **{name: tensor.data_ptr() for name, tensor in _named(given)},
        )
        self.tensors = [x_seq, *((v,) if self.call.v_is_each else ())]
        self.width = VECTOR // x_seq.dtype.itemsize
        self.set(**more)

    def set(self, **more: Tensor | None) -> None:
        """Add tensors to the call; vectors are left for scalars where one is not aligned.

        Args:
            **more: As the constructor's.
        """
        for name, tensor in more.items():
            if tensor is not None:
                setattr(self.call, name, tensor.data_ptr())
                self.tensors.append(tensor)
        is_aligned = all(tensor.data_ptr() % VECTOR == 0 for tensor in self.tensors)
        if self.call.neurons % self.width or not is_aligned:
            self.width = 1

    @property
    def blocks(self) -> int:
        """How many blocks of threads a launch over all neurons has."""
        return math.ceil(self.call.neurons / (self.width * BLOCK))

    def run(self, name: str, places: int = 0) -> None:
        """Launch a kernel over all neurons.

        Args:
            name: "qsnn_forward" or "qsnn_backward".
            places: Of how many steps a thread holds its membranes.
        """
        if self.blocks:
            kind = "scalar" if self.width == 1 else "vector"
            shared = max(SUMS, places * self.width * BLOCK * 4)
            launch(f"{name}_{kind}", self.choices, self.blocks, shared, self._bytes(), self.device)

    def run_once(self, name: str) -> None:
        """Launch a kernel that looks at no neuron.

        Args:
            name: "qsnn_scales".
        """
        launch(name, self.choices, 1, 0, self._bytes(), self.device)

    def _bytes(self) -> bytes:
        return bytes(self.call) + self.numbers


def _named(given: Given) -> list[tuple[str, Tensor]]:
    return [("x", given.x_seq), *zip(Given._fields[1:], given[1:], strict=True)]


@lru_cache(maxsize=1024)  # a schedule may sharpen a surrogate in every epoch
def _prepared(
    dtype: torch.dtype, threshold_a_channel: bool, scale_learns: bool, packs: bool, plain: Plain
) -> tuple[tuple[str, ...], bytes]:
    """Flags of a kernel and the bytes of its numbers."""
    flat = numbers(plain)
    alike = [*flat, *(0.0 for _ in range(len(flat) % 2))]  # Call is a multiple of 8 bytes
    choices = flags(dtype, plain, threshold_a_channel, scale_learns, packs)
    return choices, np.array(alike, dtype=np.float32).tobytes()


@cache
def kernel(name: str, choices: tuple[str, ...]) -> Any:
    """Return a kernel, which CuPy builds once for each device that it is launched on.

    Args:
        name: Its name in kernel.cu.
        choices: What `flags` returns.
    """
    module = importlib.import_module("cupy").RawModule(code=source(), options=choices)
    return module.get_function(name)


def launch(
    name: str,
    choices: tuple[str, ...],
    blocks: int,
    shared: int,
    call: bytes,
    device: torch.device,
) -> None:
    """Launch a kernel on torch's current stream of a device, and do not wait for it.

    Args:
        name: Its name in kernel.cu.
        choices: What `flags` returns.
        blocks: How many blocks of threads.
        shared: Bytes of memory that a block shares.
        call: `Call`, which goes by value.
        device: The device.
    """
    cupy = importlib.import_module("cupy")
    by_value = np.frombuffer(call, dtype=f"V{len(call)}")
    with cupy.cuda.Device(device.index), stream_of(device):
        kernel(name, choices)((blocks,), (BLOCK,), (by_value,), shared_mem=shared)


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
