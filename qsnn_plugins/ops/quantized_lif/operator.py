"""The fused neuron as two operators of torch, forward and backward, which the kernels fill in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.errors import BackendError
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
    *,
    is_named: bool = False,
) -> tuple[Tensor, ...] | None:
    """What `reference.quantized_lif` returns, from a kernel.

    README.md says what is kept for the backward. None is returned where the kernel of just this
    neuron cannot be built; the log has said why.

    Args:
        x_seq: See `reference.quantized_lif`, as for the others.
        v: Shape [N, ...] or [].
        threshold: Shape [] or one per channel, [C, 1, ...].
        parameters: The neuron.
        scale: Shape [].
        initialized: Shape [].
        decay: One number, of any shape.
        is_named: Whether the kernel was asked for by name.

    Raises:
        BackendError: If a kernel that was asked for by name cannot be built.
    """
    if v.dim() == 0 and v.requires_grad:
        v = v.expand(x_seq.shape[1:])
    if not parameters.threshold.learned:
        threshold = threshold.detach()
    if decay is not None:
        decay = decay.reshape(())  # hosts have it as [1] too
    inputs = Inputs(x_seq, v, threshold, scale, initialized, decay)
    variant, numbers = variant_of(parameters, inputs), tuple(parameters.numbers())
    if _are_known(numbers):
        kernel = "cupy" if x_seq.is_cuda else "cpp"
        reason = _refused(kernel, variant, numbers, x_seq.dtype, threshold.dim() > 0)
        if use_or_warn(kernel, is_named, reason) == "reference":
            return None
    result = forward(*inputs, variant, numbers)
    spikes, last, measured, running, *_, states = result
    last = last if last.dtype == v.dtype else last.to(v.dtype)
    average = running[-1:, 1:].flatten()
    return (spikes, last, measured, average, *(states,)[: int(parameters.returns_states)])


def _are_known(numbers: tuple[float, ...]) -> bool:
    """Whether none is a symbol, as torch.compile has it for what changed since it compiled."""
    if not torch.compiler.is_compiling():
        return True
    is_known = torch.fx.experimental.symbolic_shapes.has_static_value
    return all([is_known(number) for number in numbers])


@torch.compiler.assume_constant_result
def _refused(kernel: str, *built: Any) -> str | None:
    return (cpp if kernel == "cpp" else cupy).refused(*built)


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
    "Tensor x_seq, Tensor v, Tensor threshold, Tensor? scale, Tensor? initialized, Tensor? decay"
)
_COUNT = len(Inputs._fields)
_KERNEL = "str variant, float[] numbers"
_SAVED = "Tensor running, Tensor packed, Tensor cutoffs"

torch.library.define(
    "qsnn_plugins::quantized_lif",
    f"({_INPUTS}, {_KERNEL}) -> "
    f"(Tensor spikes, Tensor last, Tensor measured, {_SAVED}, Tensor states)",
    tags=torch.Tag.pt2_compliant_tag,
)
torch.library.define(
    "qsnn_plugins::quantized_lif_backward",
    f"(Tensor grad_spikes, Tensor? grad_last, {_SAVED}, {_INPUTS}, {_KERNEL}) -> "
    "(Tensor x_seq, Tensor v, Tensor threshold, Tensor scale, Tensor decay)",
    tags=torch.Tag.pt2_compliant_tag,
)
forward = torch.ops.qsnn_plugins.quantized_lif.default
backward = torch.ops.qsnn_plugins.quantized_lif_backward.default


def _forward_on(kernels: Any) -> Any:
    def run(*values: Any) -> tuple[Tensor, ...]:
        *tensors, variant, numbers = values
        inputs, order = Inputs(*tensors), MemoryOrder.of(tensors[0], variant)
        results = kernels.forward(order.enter_all(inputs), variant, tuple(numbers))
        spikes, last, measured, running, packed, cutoffs, states = results
        spikes, last, packed, states = map(order.leave, (spikes, last, packed, states))
        return spikes, last, measured, running, packed, cutoffs, states

    return run


def _backward_on(kernels: Any) -> Any:
    def run(*values: Any) -> tuple[Tensor, ...]:
        *saved, variant, numbers = values
        grad_spikes, grad_last, running, packed, *more = saved[:-_COUNT]
        inputs = Inputs(*saved[-_COUNT:])
        order = MemoryOrder.of(inputs.x_seq, variant)
        entering = order.enter(grad_spikes), None if grad_last is None else order.enter(grad_last)
        membranes = order.enter(packed) if packed.numel() else packed
        given = *entering, running, membranes, *more, order.enter_all(inputs)
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
    measures = named["SPATIAL"] or named["SCALE"] != "GIVEN"
    packed = cupy.packed_shape(entered) if named["PACKS"] else (0,)

    def wide(*shape: int) -> Tensor:
        return x_seq.new_empty(shape, dtype=torch.float32)

    return (
        order.leave(x_seq.new_empty(entered)),
        order.leave(wide(*entered[1:])),
        wide(steps if measures else 0),
        wide(steps + 1 if named["SCALE"] != "GIVEN" else 0, 3),
        order.leave(x_seq.new_empty(packed, dtype=torch.int32)),
        wide(*x_seq.shape[:2]) if named["SPATIAL"] else wide(0),
        order.leave(wide(*entered)) if named["RETURNS_STATES"] else wide(0),
    )


@torch.library.register_fake("qsnn_plugins::quantized_lif_backward")
def _(*values: Any) -> tuple[Tensor, ...]:
    *saved, variant, _numbers = values
    inputs, named = Inputs(*saved[-_COUNT:]), choices(variant)
    x_seq, order = inputs.x_seq, MemoryOrder.of(inputs.x_seq, variant)
    entered = order.enter(x_seq).shape

    def wide(*shape: int) -> Tensor:
        return x_seq.new_empty(shape, dtype=torch.float32)

    return (
        order.leave(x_seq.new_empty(entered)),
        order.leave(wide(*(entered[1:] if inputs.v.shape == x_seq.shape[1:] else (0,)))),
        wide(*inputs.threshold.shape) if named["LEARNING"] != "FIXED" else wide(0),
        *(wide() if named[name] else wide(0) for name in ("SCALE_LEARNS", "LEAK_LEARNS")),
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, _, _, *decided, _ = output
    ctx.kernel = inputs[_COUNT:]
    ctx.save_for_backward(*decided, *inputs[:_COUNT])
    ctx.mark_non_differentiable(*output[2:])
    ctx.set_materialize_grads(False)


def _differentiate(
    ctx: Any, grad_spikes: Tensor | None, grad_last: Tensor | None, *_: None
) -> tuple[Tensor | None, ...]:
    tensors = ctx.saved_tensors  # a checkpoint unpacks them at each access
    saved, inputs = tensors[:3], Inputs(*tensors[3:])
    if grad_spikes is None:
        grad_spikes = torch.zeros_like(inputs.x_seq)
    *grads, grad_decay = backward(grad_spikes, grad_last, *saved, *inputs, *ctx.kernel)
    grads = (*grads, None, grad_decay)
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


def _differentiate_twice(_: Any, grad_x: Tensor, *__: Any) -> None:
    kernel = "cupy" if grad_x.is_cuda else "cpp"
    raise BackendError(kernel, "it has no second derivatives; QSNN_BACKEND=reference has them")


torch.library.register_autograd("qsnn_plugins::quantized_lif", _differentiate, setup_context=_save)
torch.library.register_autograd("qsnn_plugins::quantized_lif_backward", _differentiate_twice)
