"""The masked neuron in C++ on the CPU: `masked.cpp`, built for each kind of neuron on first use."""

from __future__ import annotations

import ctypes
import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from qsnn_plugins.functional.pruning import channel_gate, channel_means, weak_count
from qsnn_plugins.ops.quantized_lif.cpp import (
    HEADERS,
    Call,
    Gradients,
    call_of,
    floats,
    load,
    pointer_of,
)
from qsnn_plugins.ops.quantized_lif.parameters import Given, Plain
from qsnn_plugins.ops.quantized_lif.variant import defines

__all__ = ["Gate", "backward", "forward"]

SOURCE = Path(__file__).parent / "masked.cpp"


class Gate(NamedTuple):
    """Which channels are open: the predictor and its arguments of `channel_gate`."""

    weight: Tensor
    bias: Tensor | None
    threshold: float
    softmax: bool

    def of(self, means: Tensor) -> Tensor:
        """Return 0 or 1 for each of the means [N, C]."""
        return channel_gate(means, *self)


class Maps(ctypes.Structure):
    """`Maps` of masks.h."""

    _fields_ = tuple((name, ctypes.c_int64) for name in ("samples", "channels", "inner", "rank"))


@cache
def library(dtype: torch.dtype, choices: tuple[str, ...]) -> ctypes.CDLL:
    """Return the kernel that is built for a dtype and the choices of `masked_defines`.

    Args:
        dtype: Type of the currents and spikes.
        choices: Flags of the compiler.

    Raises:
        BuildError: If it cannot be built.
        OSError: If it cannot be loaded.
    """
    built = load(SOURCE, (*HEADERS, SOURCE.with_name("masks.h")), dtype, choices)
    call, maps, pointer = ctypes.POINTER(Call), ctypes.POINTER(Maps), ctypes.c_void_p
    built.qsnn_masked_parts.argtypes = (ctypes.c_int64, maps)
    built.qsnn_masked_parts.restype = ctypes.c_int64
    built.qsnn_masked_step.argtypes = (call, maps, ctypes.c_int64, *5 * (pointer,))
    built.qsnn_masked_backward.argtypes = (call, maps, *9 * (pointer,))
    built.qsnn_masked_step.restype = built.qsnn_masked_backward.restype = None
    return built


def masked_defines(
    plain: Plain, threshold_a_channel: bool, scale_learns: bool, spatial: bool, gates: bool
) -> tuple[str, ...]:
    """Return the choices as flags of a C++ compiler.

    Args:
        plain: See `variant.defines`, as for the next two.
        threshold_a_channel: See there.
        scale_learns: See there.
        spatial: Whether weak neurons are masked.
        gates: Whether channels are.

    Example:
        >>> from qsnn_plugins.ops.quantized_lif.parameters import Parameters
        >>> masked_defines(Parameters().plain(), False, False, True, False)[-2:]
        ('-DQSNN_SPATIAL=1', '-DQSNN_GATES=0')
    """
    own = {"SPATIAL": spatial, "GATES": gates}
    flags = (f"-DQSNN_{name}={int(value)}" for name, value in own.items())
    return *defines(plain, threshold_a_channel, scale_learns), *flags


def forward(given: Given, ratio: float, gate: Gate | None, plain: Plain) -> tuple[Tensor, ...]:
    """Return spikes, the last membrane, borders, means and open channels, and masked shares.

    Args:
        given: The tensors.
        ratio: Share of a sample's neurons that are masked; 0 masks none.
        gate: What opens channels, or None.
        plain: The neuron.
    """
    given = given.in_order()
    x_seq, maps = given.x_seq, _maps(given.x_seq, ratio, gate is not None)
    steps, samples = x_seq.shape[:2]
    spikes, left = torch.empty_like(x_seq), torch.empty(x_seq.shape[1:], dtype=torch.float32)
    borders = torch.empty(steps if ratio > 0 else 0, samples, dtype=torch.float32)
    channels = (0,) if gate is None else (steps, samples, maps.channels)
    means = torch.empty(channels, dtype=None if gate is None else gate.weight.dtype)
    is_open = torch.empty(channels, dtype=torch.bool)
    counts = torch.zeros(steps, samples, 2, dtype=torch.int64)
    kind = given.threshold.dim() > 0, False, ratio > 0, gate is not None
    built, values = library(x_seq.dtype, masked_defines(plain, *kind)), floats(plain)
    call = call_of(given, values)
    for t in range(steps + 1):
        built.qsnn_masked_step(
            *(call, maps, t, is_open.data_ptr(), left.data_ptr(), spikes.data_ptr()),
            *(counts.data_ptr(), borders.data_ptr()),
        )
        if gate is not None and t < steps:
            means[t] = channel_means(left.to(means.dtype))
            is_open[t] = gate.of(means[t]) > 0
    return spikes, left, borders, means, is_open, _shares(counts, is_open, x_seq[0].numel())


def _shares(counts: Tensor, is_open: Tensor, neurons: int) -> Tensor:
    """Masked shares of each step, [T, 3], rounded as `prune_membrane` rounds them."""
    spatial, either = (1 - counts.sum(1).float() / neurons).unbind(1)
    channels = [1 - step.float().mean() for step in is_open] if is_open.dim() > 1 else []
    channel = torch.stack(channels) if channels else torch.zeros_like(spatial)
    return torch.stack([spatial, channel, either], 1)


def backward(
    of_spikes: Tensor,
    of_last: Tensor | None,
    scale_learns: bool,
    borders: Tensor,
    is_open: Tensor,
    given: Given,
    plain: Plain,
) -> tuple[Tensor, ...]:
    """Return the gradients of x_seq, v, threshold, scale, leak and each step's gates [T, N, C].

    Args:
        of_spikes: Gradient of the spikes, [T, N, ...].
        of_last: Gradient of the last membrane, [N, ...], or None.
        scale_learns: Whether the scale wants a gradient.
        borders: What `forward` returned.
        is_open: What `forward` returned.
        given: The tensors.
        plain: The neuron.
    """
    given = given.in_order()
    x_seq = given.x_seq
    of_spikes = of_spikes.to(x_seq.dtype).contiguous()
    of_last = None if of_last is None else of_last.float().contiguous()
    spatial, gates = len(borders) > 0, is_open.dim() > 1
    maps, found = _maps(x_seq, 0.0, gates), Gradients(given, plain)
    choices = masked_defines(plain, given.threshold.dim() > 0, scale_learns, spatial, gates)
    built, values = library(x_seq.dtype, choices), floats(plain)
    parts = (built.qsnn_masked_parts(len(x_seq), maps),) if gates else ()
    of_gates = torch.zeros(*is_open.shape, *parts, dtype=torch.float32)
    built.qsnn_masked_backward(
        *(call_of(given, values), maps, borders.data_ptr(), is_open.data_ptr()),
        *(of_spikes.data_ptr(), pointer_of(of_last), *found.pointers(), of_gates.data_ptr()),
    )
    return *found.in_order(), of_gates.double().sum(-1).float() if gates else of_gates


def _maps(x_seq: Tensor, ratio: float, gates: bool) -> Maps:
    _, samples, *own = x_seq.shape
    size, channels = math.prod(own), own[0] if gates else 1
    return Maps(samples, channels, size // max(channels, 1), weak_count(size, ratio))
