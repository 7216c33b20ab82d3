"""The fused neuron as two operators of torch, forward and backward, which the kernels fill in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.ops.quantized_lif import cpp, cupy
from qsnn_plugins.ops.quantized_lif.backends import use_or_warn
from qsnn_plugins.ops.quantized_lif.order import MemoryOrder
from qsnn_plugins.ops.quantized_lif.parameters import Parameters
from qsnn_plugins.ops.quantized_lif.schema import Inputs, choices

__all__ = ["backward", "forward", "quantized_lif", "variant_of"]


def quantized_lif(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    parameters: Parameters,
    scale: Tensor | None = None,
    initialized: Tensor | None = None,
    decay: Tensor | None = None,
    predictor: tuple[Tensor, Tensor | None] | None = None,
    *,
    is_named: bool = False,
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Spikes, the last stored membrane and what was measured of each step, from a kernel.

    It equals `reference.quantized_lif`; README.md says what is kept for the backward. None is
    returned where the kernel of just this neuron cannot be built; the log has said why.

    Args:
        x_seq: See `reference.quantized_lif`, as for the others.
        v: Shape [N, ...] or [].
        threshold: Shape [] or one per channel, [C, 1, ...].
        parameters: The neuron.
        scale: Shape [].
        initialized: Shape [].
        decay: Shape [].
        predictor: Weight [C, C], and bias [C] or None.
        is_named: Whether the kernel was asked for by name.

    Raises:
        BackendError: If a kernel that was asked for by name cannot be built.

    Returns:
        Spikes [T, N, ...], the membrane [N, ...], and max|r| of each step, [T], or the shares that
        it masked, [T, 3], or [0].
    """
    if v.dim() == 0 and v.requires_grad:
        v = v.expand(x_seq.shape[1:])
    if not parameters.threshold.learned:
        threshold = threshold.detach()
    weight, bias = predictor or (None, None)
    inputs = Inputs(x_seq, v, threshold, scale, initialized, decay, weight, bias)
    variant, numbers = variant_of(parameters, inputs), tuple(parameters.numbers())
    if not x_seq.is_cuda and _are_known(numbers):
        reason = _refused(variant, numbers, x_seq.dtype, threshold.dim() > 0)
        if use_or_warn("cpp", is_named, reason) == "reference":
            return None
    result = forward(*inputs, variant, numbers)
    spikes, last, measured = result[:3]
    return spikes, last if last.dtype == v.dtype else last.to(v.dtype), measured


def _are_known(numbers: tuple[float, ...]) -> bool:
    """Whether none is a symbol, as torch.compile has it for what changed since it compiled."""
    if not torch.compiler.is_compiling():
        return True
    is_known = torch.fx.experimental.symbolic_shapes.has_static_value
    return all([is_known(number) for number in numbers])


@torch.compiler.assume_constant_result
def _refused(*kernel: Any) -> str | None:
    return cpp.refused(*kernel)


def variant_of(parameters: Parameters, inputs: Inputs) -> str:
    """Return the name of the kernel that runs these inputs.

    Args:
        parameters: The neuron.
        inputs: The tensors.
    """
    if not torch.is_grad_enabled():
        return parameters.variant()
    learns = [tensor is not None and tensor.requires_grad for tensor in inputs]
    packs = inputs.x_seq.is_cuda and any(learns) and cupy.packs(inputs.x_seq, parameters)
    return parameters.variant(scale_learns=learns[3], leak_learns=learns[5], packs=packs)


# Optional are those that not every neuron reads.
_INPUTS = (
    "Tensor x_seq, Tensor v, Tensor threshold, Tensor? scale, Tensor? initialized, Tensor? decay, "
    "Tensor? weight, Tensor? bias"
)
_COUNT = len(Inputs._fields)
_KERNEL = "str variant, float[] numbers"
_SAVED = "Tensor packed, Tensor cutoffs, Tensor is_open"

torch.library.define(
    "qsnn_plugins::quantized_lif",
    f"({_INPUTS}, {_KERNEL}) -> "
    f"(Tensor spikes, Tensor last, Tensor measured, {_SAVED}, Tensor means)",
    tags=torch.Tag.pt2_compliant_tag,
)
torch.library.define(
    "qsnn_plugins::quantized_lif_backward",
    f"(Tensor grad_spikes, Tensor? grad_last, Tensor? maxima, {_SAVED}, {_INPUTS}, {_KERNEL}) -> "
    "(Tensor x_seq, Tensor v, Tensor threshold, Tensor scale, Tensor decay, Tensor gates)",
    tags=torch.Tag.pt2_compliant_tag,
)
forward = torch.ops.qsnn_plugins.quantized_lif.default
backward = torch.ops.qsnn_plugins.quantized_lif_backward.default


def _forward_on(kernels: Any) -> Any:
    def run(*values: Any) -> tuple[Tensor, ...]:
        *tensors, variant, numbers = values
        inputs, order = Inputs(*tensors), MemoryOrder.of(tensors[0], variant)
        results = kernels.forward(order.enter_all(inputs), variant, tuple(numbers))
        spikes, last, measured, packed, *more = results
        return order.leave(spikes), order.leave(last), measured, order.leave(packed), *more

    return run


def _backward_on(kernels: Any) -> Any:
    def run(*values: Any) -> tuple[Tensor, ...]:
        *saved, variant, numbers = values
        grad_spikes, grad_last, maxima, packed, *more = saved[:-_COUNT]
        inputs = Inputs(*saved[-_COUNT:])
        order = MemoryOrder.of(inputs.x_seq, variant)
        entering = order.enter(grad_spikes), None if grad_last is None else order.enter(grad_last)
        membranes = order.enter(packed) if packed.numel() else packed
        given = *entering, maxima, membranes, *more, order.enter_all(inputs)
        grad_x, grad_v, grad_threshold, *others = kernels.backward(*given, variant, tuple(numbers))
        if grad_threshold.numel():  # along one dimension at most, so in the same order
            grad_threshold = grad_threshold.reshape(inputs.threshold.shape)
        return order.leave(grad_x), order.leave(grad_v), grad_threshold, *others

    return run


for _key, _kernels in (("CPU", cpp), ("CUDA", cupy)):
    torch.library.impl("qsnn_plugins::quantized_lif", _key, _forward_on(_kernels))
    torch.library.impl("qsnn_plugins::quantized_lif_backward", _key, _backward_on(_kernels))


@torch.library.register_fake("qsnn_plugins::quantized_lif")
def _(*values: Any) -> tuple[Tensor, ...]:
    *tensors, variant, _numbers = values
    inputs, named = Inputs(*tensors), choices(variant)
    x_seq, steps = inputs.x_seq, len(inputs.x_seq)
    order = MemoryOrder.of(x_seq, variant)
    entered = order.enter(x_seq).shape
    masks, gates = named["SPATIAL"] or named["GATES"], named["GATES"]
    packed = cupy.packed_shape(entered) if named["PACKS"] else (0,)
    channels = x_seq.shape[:3] if gates else (0,)

    def wide(*shape: int) -> Tensor:
        return x_seq.new_empty(shape, dtype=torch.float32)

    return (
        order.leave(x_seq.new_empty(entered)),
        order.leave(wide(*entered[1:])),
        wide(steps, 3) if masks else wide(0 if named["SCALE"] == "GIVEN" else steps),
        order.leave(x_seq.new_empty(packed, dtype=torch.int32)),
        wide(*x_seq.shape[:2]) if named["SPATIAL"] else wide(0),
        x_seq.new_empty(channels, dtype=torch.bool),
        x_seq.new_empty(channels, dtype=None if inputs.weight is None else inputs.weight.dtype),
    )


@torch.library.register_fake("qsnn_plugins::quantized_lif_backward")
def _(*values: Any) -> tuple[Tensor, ...]:
    *saved, variant, _numbers = values
    is_open, inputs, named = saved[5], Inputs(*saved[-_COUNT:]), choices(variant)
    x_seq, order = inputs.x_seq, MemoryOrder.of(inputs.x_seq, variant)
    entered = order.enter(x_seq).shape

    def wide(*shape: int) -> Tensor:
        return x_seq.new_empty(shape, dtype=torch.float32)

    return (
        order.leave(x_seq.new_empty(entered)),
        order.leave(wide(*(entered[1:] if inputs.v.shape == x_seq.shape[1:] else (0,)))),
        wide(*inputs.threshold.shape) if named["LEARNING"] != "FIXED" else wide(0),
        *(wide() if named[name] else wide(0) for name in ("SCALE_LEARNS", "LEAK_LEARNS")),
        wide(*is_open.shape),
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, _, measured, *decided = output
    ctx.kernel = inputs[_COUNT:]
    maxima = measured if measured.dim() == 1 else None  # not the shares that were masked
    ctx.save_for_backward(maxima, *decided, *inputs[:_COUNT])
    ctx.mark_non_differentiable(*output[2:])
    ctx.set_materialize_grads(False)


def _differentiate(
    ctx: Any, grad_spikes: Tensor | None, grad_last: Tensor | None, *_: None
) -> tuple[Tensor | None, ...]:
    *saved, means = (tensors := ctx.saved_tensors)[:5]  # a checkpoint unpacks them at each access
    inputs = Inputs(*tensors[5:])
    if grad_spikes is None:
        grad_spikes = torch.zeros_like(inputs.x_seq)
    grads = backward(grad_spikes, grad_last, *saved, *inputs, *ctx.kernel)
    grad_x, grad_v, grad_threshold, grad_scale, grad_decay, grad_gates = grads
    grads = (
        *(grad_x, grad_v, grad_threshold, grad_scale, None, grad_decay),
        *_through_gate(means, grad_gates, inputs.weight, inputs.bias, *ctx.kernel),
    )
    wanted = ctx.needs_input_grad
    return *(
        _gradient_of(tensor, grad) if want else None
        for grad, tensor, want in zip(grads, inputs, wanted, strict=False)
    ), *(None for _ in wanted[_COUNT:])


def _gradient_of(tensor: Tensor | None, grad: Tensor | None) -> Tensor | None:
    """Return the gradient of a tensor; that of what a kernel does not let learn is empty."""
    if tensor is None or grad is None or grad.shape != tensor.shape:
        return None
    return grad.to(tensor.dtype)


def _through_gate(
    means: Tensor,
    grad_gates: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    variant: str,
    numbers: Sequence[float],
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of the predictor, of all steps at once: torch differentiates its equation."""
    if weight is None:
        return None, None
    with torch.enable_grad():
        weight = weight.detach().requires_grad_()
        bias = None if bias is None else bias.detach().requires_grad_()
        gates = cpp.gate(means.flatten(0, 1), weight, bias, variant, numbers)
        leaves = [weight] if bias is None else [weight, bias]
        grads = torch.autograd.grad(gates, leaves, grad_gates.flatten(0, 1).to(gates.dtype))
    return grads[0], None if bias is None else grads[1]


torch.library.register_autograd("qsnn_plugins::quantized_lif", _differentiate, setup_context=_save)
