"""The fused neuron as two operators of torch, which the kernels fill in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.ops.quantized_lif import cpp, cupy
from qsnn_plugins.ops.quantized_lif.parameters import (
    Given,
    Parameters,
    Plain,
    Written,
    known_plain,
    read_plain,
)
from qsnn_plugins.ops.quantized_lif.saved import packed_shape

__all__ = [
    "COUNT",
    "NEURON",
    "TENSORS",
    "backward",
    "forward",
    "given_tensors",
    "in_place",
    "quantized_lif",
    "written",
]


def quantized_lif(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    parameters: Parameters,
    scale: Tensor | None = None,
    has_seen: Tensor | None = None,
    decay: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, the last stored membrane and the steps' maxima, from a kernel.

    It equals `reference.quantized_lif`. Only x_seq is kept for the backward, v where it is not a
    single value, and on a GPU what `saved.py` says.

    Args:
        x_seq: See `reference.quantized_lif`, as for the others.
        v: Shape [N, ...] or [].
        threshold: Shape [] or one a channel, [C, 1, ...].
        parameters: The neuron.
        scale: Shape [].
        has_seen: Shape [].
        decay: Shape [].

    Returns:
        Spikes [T, N, ...], the membrane [N, ...], and max|r| of each step, [T] or [0].
    """
    given = given_tensors(x_seq, v, threshold, scale, has_seen, decay)
    trains = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given)
    spikes, last, maxima, _ = forward(*given, trains, *written(parameters, given))
    return spikes, last.to(v.dtype), maxima


def given_tensors(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    scale: Tensor | None,
    has_seen: Tensor | None,
    decay: Tensor | None,
) -> Given:
    """Return the tensors as the operators take them, with an empty one for what is None.

    Args:
        x_seq: See `quantized_lif`, as for the others.
        v: Shape [N, ...] or [].
        threshold: Shape [] or one a channel, [C, 1, ...].
        scale: Shape [].
        has_seen: Shape [].
        decay: Shape [].
    """
    if v.dim() == 0 and v.requires_grad:
        v = v.expand(x_seq.shape[1:])
    unused = x_seq.new_empty((), dtype=torch.float32)
    return Given(
        *(x_seq, v, threshold),
        unused if scale is None else scale,
        x_seq.new_empty((), dtype=torch.bool) if has_seen is None else has_seen,
        unused if decay is None else decay,
    )


def written(parameters: Parameters, given: Given) -> Written:
    """Return the neuron as the operators take it.

    Args:
        parameters: The neuron.
        given: The tensors, of which the leak may want a gradient.
    """
    return parameters.plain(torch.is_grad_enabled() and given.decay.requires_grad).written()


TENSORS = ", ".join(f"Tensor {name}" for name in Given._fields)
NEURON = "str words, int[] integers, float[] floats"
COUNT = len(Given._fields)


@torch.library.custom_op(
    "qsnn_plugins::quantized_lif",
    mutates_args=(),
    device_types="cpu",
    schema=f"({TENSORS}, bool trains, {NEURON}) -> (Tensor, Tensor, Tensor, Tensor)",
)
def forward(*values: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return spikes, the last membrane, the steps' maxima and what a backward needs besides x."""
    given, _, neuron = _of_forward(values)
    return cpp.forward(given, known_plain(*neuron))


@forward.register_kernel("cuda")
def _(*values: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    given, trains, neuron = _of_forward(values)
    return cupy.forward(given, trains, known_plain(*neuron))


def _of_forward(values: Sequence[Any]) -> tuple[Given, bool, Written]:
    return Given(*values[:COUNT]), values[COUNT], Written(*values[COUNT + 1 :])


@torch.library.custom_op(
    "qsnn_plugins::quantized_lif_backward",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor of_spikes, Tensor? of_last, bool scale_learns, Tensor maxima, Tensor packed, "
    f"{TENSORS}, {NEURON}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def backward(*values: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x_seq, v, threshold, scale and leak."""
    return cpp.backward(*_of_backward(values))


@backward.register_kernel("cuda")
def _(*values: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return cupy.backward(*_of_backward(values))


def _of_backward(
    values: Sequence[Any],
) -> tuple[Tensor, Tensor | None, bool, Tensor, Tensor, Given, Plain]:
    of_spikes, of_last, scale_learns, maxima, packed, *rest = values
    given, plain = Given(*rest[:COUNT]), known_plain(*rest[COUNT:])
    return of_spikes, of_last, scale_learns, maxima, packed, given, plain


@forward.register_fake
def _(*values: Any) -> tuple[Tensor, ...]:
    given, trains, neuron = _of_forward(values)
    x_seq, plain = given.x_seq, read_plain(*neuron)
    packed = packed_shape(x_seq, trains, plain) if x_seq.is_cuda else (0,)
    return (
        x_seq.new_empty(x_seq.shape),
        x_seq.new_empty(x_seq.shape[1:], dtype=torch.float32),
        x_seq.new_empty(len(x_seq) if plain.measures else 0, dtype=torch.float32),
        x_seq.new_empty(packed, dtype=torch.int32),
    )


@backward.register_fake
def _(*values: Any) -> tuple[Tensor, ...]:
    given = Given(*values[5 : 5 + COUNT])
    learned = *given[1:4], given.decay
    wide = (each.new_empty(each.shape, dtype=torch.float32) for each in learned)
    return given.x_seq.new_empty(given.x_seq.shape), *wide


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, _, maxima, packed = output
    ctx.neuron = inputs[COUNT + 1 :]
    ctx.save_for_backward(maxima, packed, *inputs[:COUNT])
    ctx.mark_non_differentiable(maxima, packed)
    ctx.set_materialize_grads(False)


def _differentiate(
    ctx: Any, of_spikes: Tensor | None, of_last: Tensor | None, *_: None
) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors  # read once: a checkpoint unpacks them anew each time
    given = Given(*saved[2:])
    if of_spikes is None:
        of_spikes = torch.zeros_like(given.x_seq)
    wanted = ctx.needs_input_grad
    gradients = backward(of_spikes, of_last, wanted[3], *saved, *ctx.neuron)
    return *in_place(gradients, given, wanted), *(None for _ in wanted[COUNT:])


def in_place(
    gradients: Sequence[Tensor], given: Given, wanted: Sequence[bool]
) -> list[Tensor | None]:
    """Return what a backward found in the order of `Given`, with None for what nobody wants.

    Args:
        gradients: Of x_seq, v, threshold, scale and leak.
        given: The tensors.
        wanted: Which of them want a gradient.
    """
    *first, of_leak = gradients
    return [
        each.to(of.dtype) if each is not None and want else None
        for each, of, want in zip((*first, None, of_leak), given, wanted, strict=False)
    ]


forward.register_autograd(_differentiate, setup_context=_keep)
