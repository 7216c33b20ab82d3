"""The masked neuron as two operators of torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.ops.quantized_lif import masked_cpp
from qsnn_plugins.ops.quantized_lif.masked_cpp import Gate
from qsnn_plugins.ops.quantized_lif.operator import (
    COUNT,
    NEURON,
    TENSORS,
    given_tensors,
    in_place,
    written,
)
from qsnn_plugins.ops.quantized_lif.parameters import Given, Parameters, known_plain
from qsnn_plugins.spec import PruningSpec

__all__ = ["backward", "forward", "masked_lif"]


def masked_lif(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    parameters: Parameters,
    pruning: PruningSpec,
    predictor: tuple[Tensor, Tensor | None] | None = None,
    scale: Tensor | None = None,
    decay: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, the last stored membrane and the steps' masked shares, from the kernel.

    It equals `reference.masked_lif`. Of a step, its borders and its channels' means are kept
    besides x_seq.

    Args:
        x_seq: See `reference.masked_lif`, as for the others.
        v: Shape [N, C, ...] or [].
        threshold: Shape [] or one a channel, [C, 1, ...].
        parameters: The neuron.
        pruning: What is masked.
        predictor: Weight [C, C] and bias [C], where channels are masked.
        scale: Shape [].
        decay: Shape [].

    Returns:
        Spikes [T, N, C, ...], the membrane [N, C, ...], and shares, [T, 3].
    """
    given = given_tensors(x_seq, v, threshold, scale, None, decay)
    gated = pruning.channel_threshold is not None
    weight, bias = predictor if gated and predictor is not None else (None, None)
    how = pruning.spatial_ratio, pruning.channel_threshold or 0.0, bool(pruning.channel_softmax)
    spikes, last, *_, shares = forward(*given, weight, bias, *how, *written(parameters, given))
    return spikes, last.to(v.dtype), shares


@torch.library.custom_op(
    "qsnn_plugins::masked_lif",
    mutates_args=(),
    device_types="cpu",
    schema=f"({TENSORS}, Tensor? weight, Tensor? bias, float ratio, float gate_threshold, "
    f"bool softmax, {NEURON}) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def forward(*values: Any) -> tuple[Tensor, ...]:
    """Return what `masked_cpp.forward` does."""
    given, ratio, gate = _of_forward(values)
    return masked_cpp.forward(given, ratio, gate, known_plain(*values[COUNT + 5 :]))


def _of_forward(values: Sequence[Any]) -> tuple[Given, float, Gate | None]:
    weight, bias, ratio, threshold, softmax, *_ = values[COUNT:]
    gate = None if weight is None else Gate(weight, bias, threshold, softmax)
    return Given(*values[:COUNT]), ratio, gate


@torch.library.custom_op(
    "qsnn_plugins::masked_lif_backward",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor of_spikes, Tensor? of_last, bool scale_learns, Tensor borders, "
    f"Tensor is_open, {TENSORS}, {NEURON}) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def backward(*values: Any) -> tuple[Tensor, ...]:
    """Return what `masked_cpp.backward` does."""
    of_spikes, of_last, scale_learns, borders, is_open, *rest = values
    given, plain = Given(*rest[:COUNT]), known_plain(*rest[COUNT:])
    return masked_cpp.backward(of_spikes, of_last, scale_learns, borders, is_open, given, plain)


@forward.register_fake
def _(*values: Any) -> tuple[Tensor, ...]:
    given, ratio, gate = _of_forward(values)
    x_seq = given.x_seq
    steps, samples = x_seq.shape[:2]
    channels = (0,) if gate is None else (steps, samples, x_seq.shape[2])
    return (
        x_seq.new_empty(x_seq.shape),
        x_seq.new_empty(x_seq.shape[1:], dtype=torch.float32),
        x_seq.new_empty(steps if ratio > 0 else 0, samples, dtype=torch.float32),
        x_seq.new_empty(channels, dtype=None if gate is None else gate.weight.dtype),
        x_seq.new_empty(channels, dtype=torch.bool),
        x_seq.new_empty(steps, 3, dtype=torch.float32),
    )


@backward.register_fake
def _(*values: Any) -> tuple[Tensor, ...]:
    is_open, given = values[4], Given(*values[5 : 5 + COUNT])
    wide = (
        each.new_empty(each.shape, dtype=torch.float32)
        for each in (*given[1:4], given.decay, is_open)
    )
    return given.x_seq.new_empty(given.x_seq.shape), *wide


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, _, *decided = output
    ctx.how, ctx.neuron = inputs[COUNT + 3 : COUNT + 5], inputs[COUNT + 5 :]
    ctx.save_for_backward(*decided[:3], *inputs[: COUNT + 2])
    ctx.mark_non_differentiable(*decided)
    ctx.set_materialize_grads(False)


def _differentiate(
    ctx: Any, of_spikes: Tensor | None, of_last: Tensor | None, *_: None
) -> tuple[Tensor | None, ...]:
    borders, means, is_open, *saved = ctx.saved_tensors
    given, predictor = Given(*saved[:COUNT]), saved[COUNT:]
    if of_spikes is None:
        of_spikes = torch.zeros_like(given.x_seq)
    wanted = ctx.needs_input_grad
    *gradients, of_gates = backward(
        of_spikes, of_last, wanted[3], borders, is_open, *given, *ctx.neuron
    )
    own = in_place(gradients, given, wanted)
    own += _through_gate(means, of_gates, *predictor, *ctx.how)
    return *own, *(None for _ in wanted[len(own) :])


def _through_gate(
    means: Tensor,
    of_gates: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    threshold: float,
    softmax: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of the predictor, of all steps at once: torch differentiates its equation."""
    if weight is None:
        return None, None
    with torch.enable_grad():
        weight = weight.detach().requires_grad_()
        bias = None if bias is None else bias.detach().requires_grad_()
        gates = Gate(weight, bias, threshold, softmax).of(means.flatten(0, 1))
        leaves = [weight] if bias is None else [weight, bias]
        found = torch.autograd.grad(gates, leaves, of_gates.flatten(0, 1).to(gates.dtype))
    return found[0], None if bias is None else found[1]


forward.register_autograd(_differentiate, setup_context=_keep)
