"""The quantized LIF neuron in C++ on the CPU: `kernel.cpp` as two operators of torch."""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from qsnn_plugins.debug import is_debugging
from qsnn_plugins.functional.stacked import midpoints
from qsnn_plugins.functional.surrogate import SurrogateKind
from qsnn_plugins.functional.threshold import ThresholdGradient
from qsnn_plugins.ops.compiler import BuildError, build
from qsnn_plugins.ops.quantized_lif.parameters import Parameters

__all__ = ["quantized_lif", "refusal", "wide_type"]

SOURCE = Path(__file__).parent / "kernel.cpp"
TYPES = (torch.float32, torch.float16, torch.bfloat16)
SHAPES = get_args(SurrogateKind)
LEARNING = get_args(ThresholdGradient)
STORES = ("float", "clip", "levels")
SLOPES = ("straight_through", "clipped_straight_through", "stacked")
SMALL = 1 << 15  # neurons times steps below which a second thread costs more than it brings


class _Neuron(ctypes.Structure):
    """`Neuron` of kernel.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("steps", "neurons", "threads")),
        *(
            (name, ctypes.c_int32)
            for name in (
                *("type", "leak", "store", "slope", "surrogate", "membrane_surrogate"),
                *("learning", "window", "hard", "detach", "fires_at_zero", "border_count"),
            )
        ),
        *(
            (name, ctypes.c_float)
            for name in (
                *("tau", "v_reset", "threshold", "sharpness", "smoothness"),
                *("lower", "upper", "silent"),
            )
        ),
        *((name, ctypes.POINTER(ctypes.c_float)) for name in ("borders", "values", "heights")),
    )


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(build(SOURCE)))
    pointer, number = ctypes.c_void_p, ctypes.c_int32
    neuron = ctypes.POINTER(_Neuron)
    library.qsnn_forward.argtypes = (neuron, pointer, pointer, number, pointer, pointer)
    library.qsnn_backward.argtypes = (neuron, pointer, pointer, number, *5 * (pointer,))
    library.qsnn_forward.restype = library.qsnn_backward.restype = None
    return library


@torch.compiler.assume_constant_result
def _missing() -> str | None:
    """Why the kernel cannot be built or loaded here, or None; tried once."""
    return _missing_once()


@cache
def _missing_once() -> str | None:
    try:
        _library()
    except BuildError as error:
        return str(error)
    except OSError as error:
        return f"the kernel does not load: {error}"
    return None


def wide_type(dtype: torch.dtype) -> torch.dtype:
    """Return the type in which a threshold is kept: float32 for 16-bit input.

    Example:
        >>> wide_type(torch.bfloat16)
        torch.float32
    """
    return torch.promote_types(dtype, torch.float32)


def refusal(x_seq: Tensor, v: Tensor, threshold: Tensor, parameters: Parameters) -> str | None:
    """Return why the kernel cannot run these arguments, or None if it can.

    Example:
        >>> x_seq, v = torch.zeros(2, 3, dtype=torch.float64), torch.zeros(3)
        >>> refusal(x_seq, v, torch.tensor(1.0), Parameters())
        'x_seq has the dtype torch.float64'
    """
    if x_seq.device.type != "cpu":
        return f"x_seq is on the device {x_seq.device.type}"
    for name, tensor in (("x_seq", x_seq), ("v", v), ("threshold", threshold)):
        if tensor.dtype not in TYPES:
            return f"{name} has the dtype {tensor.dtype}"
    if parameters.spike.bits > 1:
        return f"spikes have {parameters.spike.bits} bits"
    if parameters.spike.value == "threshold":
        return "spikes have the value of the threshold"
    if threshold.dim() > 0:
        return f"the threshold has the shape {tuple(threshold.shape)}"
    if is_debugging():
        return "debug mode looks at every step"
    return _missing()


def quantized_lif(
    x_seq: Tensor, v: Tensor, threshold: Tensor, parameters: Parameters
) -> tuple[Tensor, Tensor]:
    """Spikes and the last stored membrane; see `reference.quantized_lif`, which it equals.

    Only x_seq is kept for the backward, and v where it is not a single value.

    Args:
        x_seq: See `reference.quantized_lif`, as for the others.
        v: Shape [N, ...] or [].
        threshold: Shape [].
        parameters: The neuron.

    Returns:
        Spikes [T, N, ...] and the membrane [N, ...].
    """
    if v.dim() == 0 and v.requires_grad:
        v = v.expand(x_seq.shape[1:])
    return _forward(x_seq, v, threshold, *_flat(parameters))


# A schema holds no dataclass: the values that the kernel reads, one by one.
_SCHEMA = """float? tau, bool decay_input, float? v_reset, bool detach_reset,
    bool fires_at_threshold, str surrogate, float sharpness, str membrane, float[] levels,
    str gradient, str membrane_surrogate, float smoothness, float[] bounds,
    str threshold_gradient, str window"""


def _flat(p: Parameters) -> tuple[Any, ...]:
    membrane, kind = p.membrane, p.membrane.kind
    gradient = "clipped_straight_through" if kind == "clip" else membrane.gradient
    return (
        *(p.tau, p.decay_input, p.v_reset, p.detach_reset, p.fires_at_threshold),
        *(p.spike.surrogate, p.spike.sharpness),
        *(kind, list(p.levels), "straight_through" if kind == "float" else gradient),
        *(membrane.surrogate, membrane.smoothness, [membrane.lower, membrane.upper]),
        *(p.threshold.gradient, p.threshold.window),
    )


def _floats(values: Sequence[float]) -> Any:
    return (ctypes.c_float * len(values))(*values)


def _neuron(
    x_seq: Tensor,
    threshold: Tensor,
    tau: float | None,
    decay_input: bool,
    v_reset: float | None,
    detach_reset: bool,
    fires_at_threshold: bool,
    surrogate: str,
    sharpness: float,
    membrane: str,
    levels: Sequence[float],
    gradient: str,
    membrane_surrogate: str,
    smoothness: float,
    bounds: Sequence[float],
    threshold_gradient: str,
    window: str,
) -> _Neuron:
    neurons = math.prod(x_seq.shape[1:])
    borders = midpoints(levels) if levels else []
    pruned = membrane == "pruned"
    lower, upper = (levels[0], levels[-1]) if levels else bounds
    silenced = [top for level, top in zip(levels, borders, strict=False) if level < 0]
    return _Neuron(
        steps=len(x_seq),
        neurons=neurons,
        threads=1 if x_seq.numel() < SMALL else torch.get_num_threads(),
        type=TYPES.index(x_seq.dtype),
        leak=0 if tau is None else 1 + decay_input,
        store=STORES.index("levels" if levels else membrane),
        slope=SLOPES.index(gradient),
        surrogate=SHAPES.index(surrogate),
        membrane_surrogate=SHAPES.index(membrane_surrogate),
        learning=LEARNING.index(threshold_gradient),
        window=SHAPES.index(window),
        hard=v_reset is not None,
        detach=detach_reset,
        fires_at_zero=fires_at_threshold,
        border_count=len(borders),
        tau=1.0 if tau is None else tau,
        v_reset=v_reset or 0.0,
        threshold=float(threshold),
        sharpness=sharpness,
        smoothness=smoothness,
        lower=lower,
        upper=upper,
        silent=silenced[-1] if pruned and silenced else -math.inf,
        borders=_floats(borders),
        values=_floats([max(level, 0.0) if pruned else level for level in levels]),
        heights=_floats([b - a for a, b in itertools.pairwise(levels)]),
    )


def _run_forward(
    x_seq: Tensor, v: Tensor, threshold: Tensor, *values: Any
) -> tuple[Tensor, Tensor]:
    neuron = _neuron(x_seq, threshold, *values)
    x_seq, state = x_seq.contiguous(), v.float().contiguous()
    spikes = torch.empty_like(x_seq)
    last = torch.empty(x_seq.shape[1:], dtype=torch.float32)
    _library().qsnn_forward(
        neuron, x_seq.data_ptr(), *_state(state, neuron), spikes.data_ptr(), last.data_ptr()
    )
    return spikes, last.to(v.dtype)


def _run_backward(
    grad_spikes: Tensor,
    grad_last: Tensor | None,
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    *values: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    neuron = _neuron(x_seq, threshold, *values)
    x_seq, state = x_seq.contiguous(), v.float().contiguous()
    grad_spikes = grad_spikes.to(x_seq.dtype).contiguous()
    last = None if grad_last is None else grad_last.float().contiguous()
    grad_x = torch.empty_like(x_seq)
    wanted = v.shape == x_seq.shape[1:]
    grad_v = torch.empty(v.shape, dtype=torch.float32) if wanted else torch.zeros(())
    grad_threshold = torch.empty((), dtype=torch.float64)
    _library().qsnn_backward(
        *(neuron, x_seq.data_ptr(), *_state(state, neuron), grad_spikes.data_ptr()),
        *(None if last is None else last.data_ptr(), grad_x.data_ptr()),
        *(grad_v.data_ptr() if wanted else None, grad_threshold.data_ptr()),
    )
    return grad_x, grad_v.to(v.dtype), grad_threshold.to(threshold.dtype)


def _state(state: Tensor, neuron: _Neuron) -> tuple[int, int]:
    return state.data_ptr(), int(state.dim() == 0)


_TENSORS = "Tensor x_seq, Tensor v, Tensor threshold, "

_forward = torch.library.custom_op(
    "qsnn_plugins::quantized_lif",
    _run_forward,
    mutates_args=(),
    device_types="cpu",
    schema=f"({_TENSORS}{_SCHEMA}) -> (Tensor, Tensor)",
)

_backward = torch.library.custom_op(
    "qsnn_plugins::quantized_lif_backward",
    _run_backward,
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor grad_spikes, Tensor? grad_last, {_TENSORS}{_SCHEMA})"
    " -> (Tensor, Tensor, Tensor)",
)


@_forward.register_fake
def _(x_seq: Tensor, v: Tensor, threshold: Tensor, *values: Any) -> tuple[Tensor, Tensor]:
    return x_seq.new_empty(x_seq.shape), v.new_empty(x_seq.shape[1:])


@_backward.register_fake
def _(
    grad_spikes: Tensor,
    grad_last: Tensor | None,
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    *values: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    return x_seq.new_empty(x_seq.shape), v.new_empty(v.shape), threshold.new_empty(())


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x_seq, v, threshold, *ctx.values = inputs
    ctx.save_for_backward(x_seq, v, threshold)
    ctx.set_materialize_grads(False)


def _differentiate(
    ctx: Any, grad_spikes: Tensor | None, grad_last: Tensor | None
) -> tuple[Tensor | None, ...]:
    if grad_spikes is None:
        grad_spikes = torch.zeros_like(ctx.saved_tensors[0])
    grads = _backward(grad_spikes, grad_last, *ctx.saved_tensors, *ctx.values)
    wanted = ctx.needs_input_grad[:3]
    given = [grad if want else None for grad, want in zip(grads, wanted, strict=True)]
    return *given, *(None for _ in ctx.values)


_forward.register_autograd(_differentiate, setup_context=_keep)
