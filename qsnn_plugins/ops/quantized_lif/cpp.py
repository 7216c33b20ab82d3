"""The fused neuron in C++ on the CPU: `kernel.cpp`, built for each kind of neuron on first use."""

from __future__ import annotations

import ctypes
import math
from functools import cache, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from qsnn_plugins.ops.compiler import FLAGS, BuildError, build
from qsnn_plugins.ops.quantized_lif.parameters import Given, Parameters, Plain
from qsnn_plugins.ops.quantized_lif.variant import VALUES, defines, inner_size, numbers

__all__ = ["Call", "backward", "call_of", "floats", "forward", "missing", "pointer_of"]

SOURCE = Path(__file__).parent / "kernel.cpp"
HEADERS = tuple(SOURCE.with_name(name) for name in ("values.h", "neuron.h", "blocks.h"))
SMALL = 1 << 15  # neurons times steps below which a second thread costs more than it brings


class Call(ctypes.Structure):
    """`Call` of kernel.cpp."""

    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in ("steps", "neurons", "threads", "inner", "channels", "v_is_each")
        ),
        *(
            (name, ctypes.c_void_p)
            for name in ("numbers", "x", "v", "threshold", "scale", "decay", "has_seen")
        ),
    )


@cache
def library(dtype: torch.dtype, choices: tuple[str, ...]) -> ctypes.CDLL:
    """Return the kernel that is built for a dtype and the choices of `variant.defines`.

    Args:
        dtype: Type of the currents and spikes.
        choices: Flags of the compiler.

    Raises:
        BuildError: If it cannot be built.
        OSError: If it cannot be loaded.
    """
    built, pointer = load(SOURCE, HEADERS, dtype, choices), ctypes.c_void_p
    built.qsnn_forward.argtypes = (ctypes.POINTER(Call), *3 * (pointer,))
    built.qsnn_backward.argtypes = (ctypes.POINTER(Call), *7 * (pointer,))
    built.qsnn_forward.restype = built.qsnn_backward.restype = None
    return built


def load(
    source: Path, headers: tuple[Path, ...], dtype: torch.dtype, choices: tuple[str, ...]
) -> ctypes.CDLL:
    """Build a kernel where that was not done before, and load it.

    Args:
        source: Its source.
        headers: What that includes.
        dtype: Type of the currents and spikes.
        choices: Flags of the compiler.
    """
    flags = (*FLAGS, f"-DQSNN_VALUE={VALUES[dtype]}", *choices)
    return ctypes.CDLL(str(build(source, flags, headers)))


@lru_cache(maxsize=1024)  # a schedule may sharpen a surrogate in every epoch
def prepared(
    dtype: torch.dtype, plain: Plain, threshold_a_channel: bool, scale_learns: bool
) -> tuple[ctypes.CDLL, ctypes.Array[ctypes.c_float]]:
    """Return the kernel of a neuron, and `Numbers` of neuron.h."""
    return library(dtype, defines(plain, threshold_a_channel, scale_learns)), floats(plain)


@cache
def missing() -> str | None:
    """Return why kernels cannot be built or loaded here, or None; tried with the commonest."""
    try:
        library(torch.float32, defines(Parameters().plain(), False, False))
    except BuildError as error:
        return str(error)
    except OSError as error:
        return f"the kernel does not load: {error}"
    return None


def forward(given: Given, plain: Plain) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return spikes, the last membrane, the steps' maxima, and no packed states.

    Args:
        given: The tensors.
        plain: The neuron.
    """
    given = given.in_order()
    x_seq = given.x_seq
    spikes, last = torch.empty_like(x_seq), torch.empty(x_seq.shape[1:], dtype=torch.float32)
    maxima = torch.empty(len(x_seq) if plain.measures else 0, dtype=torch.float32)
    built, values = prepared(x_seq.dtype, plain, given.threshold.dim() > 0, False)
    built.qsnn_forward(
        call_of(given, values), spikes.data_ptr(), last.data_ptr(), maxima.data_ptr()
    )
    return spikes, last, maxima, torch.empty(0, dtype=torch.int32)


def backward(
    of_spikes: Tensor,
    of_last: Tensor | None,
    scale_learns: bool,
    maxima: Tensor,
    packed: Tensor,
    given: Given,
    plain: Plain,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x_seq, v, threshold, scale and leak.

    Args:
        of_spikes: Gradient of the spikes, [T, N, ...].
        of_last: Gradient of the last membrane, [N, ...], or None.
        scale_learns: Whether the scale wants a gradient.
        maxima: What `forward` returned.
        packed: What `forward` returned.
        given: The tensors.
        plain: The neuron.
    """
    given = given.in_order()
    of_spikes = of_spikes.to(given.x_seq.dtype).contiguous()
    of_last = None if of_last is None else of_last.float().contiguous()
    found = Gradients(given, plain)
    kind = given.threshold.dim() > 0, scale_learns
    built, values = prepared(given.x_seq.dtype, plain, *kind)
    built.qsnn_backward(
        *(call_of(given, values), maxima.data_ptr(), of_spikes.data_ptr(), pointer_of(of_last)),
        *found.pointers(),
    )
    return found.in_order()


class Gradients:
    """What a backward fills in.

    Args:
        given: The tensors, in order.
        plain: The neuron.
    """

    def __init__(self, given: Given, plain: Plain) -> None:
        x_seq, v, threshold = given.x_seq, given.v, given.threshold
        self.x, self.v = torch.empty_like(x_seq), torch.zeros_like(v)
        self.wants_v, self.threshold_shape = v.shape == x_seq.shape[1:], threshold.shape
        learns_each = threshold.dim() > 0 and plain.threshold_gradient != "fixed"
        self.thresholds = torch.empty(x_seq.shape[1:], dtype=torch.float32) if learns_each else None
        self.sums = torch.zeros(3, dtype=torch.float64)  # of threshold, scale and leak

    def pointers(self) -> tuple[int | None, ...]:
        """Return where a kernel writes, in its order."""
        of_v = self.v if self.wants_v else None
        return tuple(map(pointer_of, (self.x, of_v, self.thresholds, self.sums)))

    def in_order(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of x_seq, v, threshold, scale and leak."""
        each = self.thresholds
        own = self.sums[0] if each is None else each.double().sum_to_size(self.threshold_shape)
        of_threshold = own.float().expand(self.threshold_shape)
        return self.x, self.v, of_threshold, self.sums[1].float(), self.sums[2].float()


def floats(plain: Plain) -> ctypes.Array[ctypes.c_float]:
    """Return `Numbers` of neuron.h.

    Args:
        plain: The neuron.
    """
    values = numbers(plain)
    return (ctypes.c_float * len(values))(*values)


def call_of(given: Given, values: ctypes.Array[ctypes.c_float]) -> Call:
    """Return pointers to the tensors, which must outlive it.

    Args:
        given: The tensors, in order.
        values: What `floats` returns.
    """
    x_seq, threshold = given.x_seq, given.threshold
    return Call(
        steps=len(x_seq),
        neurons=math.prod(x_seq.shape[1:]),
        threads=1 if x_seq.numel() < SMALL else torch.get_num_threads(),
        inner=inner_size(threshold.shape, x_seq.shape),
        channels=threshold.numel(),
        v_is_each=given.v.shape == x_seq.shape[1:],
        numbers=ctypes.addressof(values),
        x=x_seq.data_ptr(),
        v=given.v.data_ptr(),
        threshold=threshold.data_ptr(),
        scale=given.scale.data_ptr(),
        decay=given.decay.data_ptr(),
        has_seen=given.has_seen.data_ptr(),
    )


def pointer_of(tensor: Tensor | None) -> int | None:
    """Return where a tensor's memory begins, or None.

    Args:
        tensor: A tensor, or None.
    """
    return None if tensor is None else tensor.data_ptr()
