"""The fused neuron in CUDA on a GPU: `kernel.cu`, built for each kind of neuron on first use."""

from __future__ import annotations

import importlib
import math
from functools import cache

import torch
from torch import Tensor

from qsnn_plugins.ops.quantized_lif.launch import Launcher, flags, kernel
from qsnn_plugins.ops.quantized_lif.parameters import Given, Parameters, Plain
from qsnn_plugins.ops.quantized_lif.saved import held_steps, packed_shape

__all__ = ["backward", "forward", "missing"]

OLDEST = 13


@cache
def missing() -> str | None:
    """Return why kernels cannot be built or run here, or None; tried with the commonest.

    Example:
        >>> reason = missing()
        >>> reason is None or "CuPy" in reason
        True
    """
    try:
        cupy = importlib.import_module("cupy")
        if int(cupy.__version__.partition(".")[0]) < OLDEST:
            return f"CuPy {cupy.__version__} is older than {OLDEST}"
        choices = flags(torch.float32, Parameters().plain(), False, False, False)
        kernel("qsnn_forward_vector", choices)
    except ImportError as error:
        return f"CuPy cannot be imported: {error}"
    # CuPy, its compiler and the driver each raise their own; the run goes on without the kernel
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        return f"CuPy cannot build it: {type(error).__name__}: {first}"
    return None


def forward(given: Given, trains: bool, plain: Plain) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return spikes, the last membrane, the steps' maxima, and the membranes saved in 2 bits.

    Args:
        given: The tensors.
        trains: Whether a backward may come.
        plain: The neuron.
    """
    given = given.in_order()
    x_seq = given.x_seq
    sends, last = torch.empty_like(x_seq), x_seq.new_empty(x_seq.shape[1:], dtype=torch.float32)
    maxima = x_seq.new_zeros(len(x_seq) if plain.measures else 0, dtype=torch.float32)
    packed = x_seq.new_empty(packed_shape(x_seq, trains, plain), dtype=torch.int32)
    packs = packed.numel() > 0
    launcher = Launcher(given, plain, False, packs, sends=sends, last=last, packed=packed)
    if plain.measures:
        _measure(launcher, maxima)
    else:
        launcher.run("qsnn_forward")
    return sends, last, maxima, packed


def _measure(launcher: Launcher, maxima: Tensor) -> None:
    """Launch the steps one by one: each needs the maximum that the one before it left."""
    running = maxima.new_empty(len(maxima) + 1, 2)
    launcher.set(maxima=maxima, running=running)
    for step in range(len(maxima) + 1):
        launcher.call.step = step
        launcher.run("qsnn_forward")


def backward(
    of_spikes: Tensor,
    of_last: Tensor | None,
    scale_learns: bool,
    maxima: Tensor,
    packed: Tensor,
    given: Given,
    plain: Plain,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x_seq, v, threshold, scale and leak, which is none.

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
    x_seq, v, threshold = given.x_seq, given.v, given.threshold
    neurons, packs = x_seq.shape[1:], packed.numel() > 0
    learns = plain.threshold_gradient != "fixed"
    of_sent = of_spikes.to(x_seq.dtype).contiguous()
    of_last = None if of_last is None else of_last.float().contiguous()
    of_x, of_v = torch.empty_like(x_seq), torch.zeros_like(v)
    learns_each = learns and threshold.dim() > 0
    of_each = x_seq.new_empty(neurons, dtype=torch.float32) if learns_each else None
    segment = min(len(x_seq), held_steps(x_seq.dtype))
    kept = () if packs else (math.ceil(len(x_seq) / segment) - 1, *neurons)
    launcher = Launcher(
        *(given, plain, scale_learns, packs),
        of_sent=of_sent,
        of_last=of_last,
        of_x=of_x,
        of_v=of_v if v.shape == neurons else None,
        of_threshold=of_each,
        packed=packed,
        kept=x_seq.new_empty(kept, dtype=torch.float32),
    )
    sums = x_seq.new_zeros(launcher.blocks, 2, dtype=torch.float64)
    running = x_seq.new_empty(len(maxima) + 1, 2, dtype=torch.float32)
    launcher.set(sums=sums, maxima=maxima, running=running)
    launcher.call.segment = segment
    if plain.measures:
        launcher.run_once("qsnn_scales")
    launcher.run("qsnn_backward", places=0 if packs else segment + plain.reset_is_late)
    of_both = sums.sum(0)
    of_threshold = of_both[0] if of_each is None else of_each.double().sum_to_size(threshold.shape)
    of_threshold = of_threshold.float().expand(threshold.shape)
    return of_x, of_v, of_threshold, of_both[1].float(), torch.zeros_like(of_both[1]).float()
