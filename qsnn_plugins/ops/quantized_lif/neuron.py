"""The operator for a host's neuron: its parts and conventions in, spikes and state out."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.functional.spike import check_counts
from qsnn_plugins.functional.threshold import finite
from qsnn_plugins.nn.membrane import ClipMembrane, NearestLevel
from qsnn_plugins.nn.membrane_bits import UniformMembrane
from qsnn_plugins.nn.pruning import MembranePruning
from qsnn_plugins.nn.spike import Spike
from qsnn_plugins.ops.quantized_lif import compiled, operator
from qsnn_plugins.ops.quantized_lif.backends import (
    decide,
    from_environment,
    kernel_of,
    use_or_warn,
)
from qsnn_plugins.ops.quantized_lif.parameters import Parameters
from qsnn_plugins.spec import QuantSpec, SpikeSpec

__all__ = ["is_hooked", "is_kept", "run"]

# What stores a membrane of each kind that the kernels cover. Any other module may compute anything.
MODULES: dict[str, type[nn.Module]] = {
    "float": nn.Identity,
    "clip": ClipMembrane,
    "levels": NearestLevel,
    "pruned": NearestLevel,
    "threshold_centred": NearestLevel,
    "uniform": UniformMembrane,
}


def run(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor | float,
    spec: QuantSpec,
    surrogate_function: Any,
    membrane: nn.Module,
    decay: Tensor | None = None,
    pruning: nn.Module | None = None,
    returns_states: bool = False,
    **conventions: Any,
) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """Run the steps of a neuron on a kernel, or leave them to the neuron's own loop.

    Args:
        x_seq: Input currents, shape [T, N, ...].
        v: Stored membrane, shape [N, ...]; one value expanded to it costs the backward nothing.
        threshold: A number, or a tensor that broadcasts to [N, ...].
        spec: How the neuron is quantized.
        surrogate_function: What makes its spikes; the kernels know `nn.Spike` alone.
        membrane: What stores its membrane; the kernels know what `spec` builds.
        decay: The leak where it is written h = decay q + x, or 1 / tau where `has_rate`, else None.
        pruning: `nn.MembranePruning` where neurons are masked; it observes how many.
        returns_states: Whether the stored membranes of all steps are wanted.
        **conventions: The host's, arguments of `Parameters`, such as `tau`.

    Returns:
        Spikes [T, N, ...], the last stored membrane [N, ...], and those of all steps [T, N, ...] or
        None; or None where no kernel runs: the log then has said why, unless a hook looks at every
        step or x_seq has no values.

    Raises:
        ArgumentError: If the dtype of x_seq does not hold all counts of the spikes.
        BackendError: If QSNN_BACKEND names a backend that cannot run.

    Example:
        >>> from qsnn_plugins.nn import membrane_quantizer
        >>> spec = QuantSpec()
        >>> parts = Spike.from_spec(spec.spike), membrane_quantizer(spec.membrane)
        >>> x_seq = torch.zeros(2, 3, dtype=torch.float64)
        >>> run(x_seq, x_seq[0], 1.0, spec, *parts, tau=2.0) is None
        True
    """
    named = from_environment()
    if named == "reference" or _is_watched(x_seq, surrogate_function, membrane, pruning):
        return None
    kernel = named or kernel_of(x_seq)
    reason = _uncovered(spec, surrogate_function, membrane, pruning)
    if reason is None:
        reason = _unconventional(threshold, spec, surrogate_function, **conventions)
    threshold = finite(threshold)
    if not isinstance(threshold, Tensor):
        wide = torch.promote_types(x_seq.dtype, torch.float32)
        threshold = x_seq.new_full((), threshold, dtype=wide)
    if use_or_warn(kernel, named is not None, reason) == "reference":
        return None
    check_counts(spec.spike.bits, x_seq.dtype)
    wanted = spec.pruning, decay, returns_states
    name = decide(kernel, named is not None, x_seq, v, threshold, *wanted)
    if name == "reference":
        return None
    store: Any = membrane
    has_scale = spec.membrane.kind == "uniform"
    parameters = Parameters(
        spec.membrane,
        _current(spec.spike, surrogate_function),
        spec.threshold,
        spec.pruning if spec.pruning.spatial_ratio else None,
        decays=decay is not None and not conventions.get("has_rate"),
        fires_at_threshold=surrogate_function.fires_at_zero,
        scale=store.scale_of_steps if has_scale else "given",
        returns_states=returns_states,
        **conventions,
    )
    if v.numel() > 0 and not v.requires_grad and not any(v.stride()):
        v = v[(0,) * v.dim()]
    scale = initialized = None
    if parameters.measures:
        scale, initialized = store.start(x_seq, v)
    elif has_scale:
        scale = store.scale_in_use(x_seq.shape[1:]).reshape(())  # a shared one may be [1]
    tensors = scale, initialized, decay
    result: tuple[Tensor, ...] | None
    if name == "compiled":
        result = compiled.quantized_lif(x_seq, v, threshold, parameters, *tensors)
    else:
        result = operator.quantized_lif(
            x_seq, v, threshold, parameters, *tensors, is_named=named is not None
        )
    if result is None:
        return None
    spikes, last, measured, average, *states = result
    if parameters.measures:
        store.keep(*average)
    elif parameters.prunes:
        observer: Any = pruning
        for share in measured.unbind():
            observer.observe(share)
    return spikes, last, states[0] if states else None


def _uncovered(spec: QuantSpec, fire: Any, store: Any, pruning: Any) -> str | None:
    """Why the kernels do not cover a neuron of these parts, or None if they do."""
    own = MODULES.get(spec.membrane.kind)
    if own is None:
        return f"the membrane is {spec.membrane.kind!r}"
    if type(store) is not own:
        return f"the membrane's quantizer is {type(store).__name__}, not the spec's {own.__name__}"
    if _differs(store, spec.membrane):
        return "the membrane's quantizer is not the spec's"
    if spec.pruning.spatial_ratio:
        if type(pruning) is not MembranePruning or _differs(pruning, spec.pruning):
            return "the pruning is not the spec's"
        if spec.membrane.kind == "uniform" and store.scale_of_steps != "given":
            return "the scale of masked membranes is measured"
    if type(fire) is not Spike:
        return f"the surrogate function is {type(fire).__name__}, not Spike"
    if not fire.spiking:
        return "the surrogate function returns its primitive"
    return None


def _unconventional(
    threshold: Tensor | float,
    spec: QuantSpec,
    fire: Spike,
    v_reset: float | None = 0.0,
    resets: bool = True,
    reset_is_late: bool = False,
    **_: Any,
) -> str | None:
    """Why the kernels do not run a neuron under these conventions, or None if they do."""
    if reset_is_late and resets and spec.membrane.kind != "float" and fire.fires_at_zero:
        return "a late reset tells a spike by a stored membrane above the threshold"
    is_multiplied = spec.spike.value == "threshold" or (v_reset is None and resets)
    has_slope = fire.bits > 1 or fire.surrogate == "piecewise_leaky_relu"
    if is_multiplied and has_slope and _is_infinite(threshold):
        return "spikes with a slope far below the threshold are multiplied by an infinite one"
    return None


def _is_infinite(threshold: Tensor | float) -> bool:
    """Whether a threshold is known to be infinite; a GPU would have to be waited for."""
    if not isinstance(threshold, Tensor):
        return threshold == math.inf
    is_readable = threshold.device.type == "cpu" and not torch.compiler.is_compiling()
    return is_readable and bool(threshold.isinf().any())


def _differs(part: Any, spec: Any) -> bool:
    """Whether a part was built from another spec; torch.compile cannot compare what may change."""
    own = getattr(part, "spec", spec)
    return own is not spec and own != spec


def is_hooked(part: Any) -> bool:
    """Whether something looks at each call of a module or at its gradient, or replaces its forward.

    Functions, such as snnTorch's surrogates, have no hooks.

    Example:
        >>> part = nn.ReLU()
        >>> is_hooked(part), is_hooked(None)
        (False, False)
        >>> part.forward = torch.abs  # on this object alone
        >>> is_hooked(part)
        True
    """
    return isinstance(part, nn.Module) and any(
        (
            "forward" in part.__dict__,
            part._forward_hooks,
            part._forward_pre_hooks,
            part._backward_hooks,
            part._backward_pre_hooks,
        )
    )


def is_kept(membrane: nn.Module) -> bool:
    """Whether a neuron's membrane is stored as it is; hooks may look at it nevertheless.

    Example:
        >>> is_kept(nn.Identity()), is_kept(nn.Tanh())
        (True, False)
    """
    return type(membrane) is nn.Identity and "forward" not in membrane.__dict__


def _is_watched(x_seq: Tensor, *parts: Any) -> bool:
    """Whether a hook looks at every step, or a network without values is only counted."""
    return any(map(is_hooked, parts)) or x_seq.device.type == "meta"


def _current(spec: SpikeSpec, fire: Spike) -> SpikeSpec:
    """Return the spec of the spikes that are fired: a schedule may have sharpened the surrogate.

    The comparison of one that differs is left to `Parameters.fires_at_threshold`.
    """
    fires = fire.fires_at_zero
    how: tuple = (fire.bits,) if fire.bits > 1 else (fire.bits, fire.surrogate, fire.sharpness)
    own = (spec.bits, spec.surrogate, spec.sharpness)[: len(how)]
    if how == own and spec.fires_at_threshold(fires) == fires:
        return spec
    surrogate = dict(zip(("surrogate", "sharpness"), how[1:], strict=False))
    return SpikeSpec(bits=fire.bits, value=spec.value, **surrogate)
