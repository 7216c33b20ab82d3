"""The operator for a host's neuron: its parts and conventions in, spikes and state out."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from qsnn_plugins.functional.threshold import keep_positive, per_channel
from qsnn_plugins.ops.quantized_lif import asked_for, cpp, settle
from qsnn_plugins.ops.quantized_lif.parameters import MEMBRANES, Parameters
from qsnn_plugins.spec import QuantSpec, SpikeSpec

__all__ = ["run"]


def run(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor | float,
    spec: QuantSpec,
    surrogate_function: nn.Module,
    membrane: nn.Module,
    tau: float | None,
    decay_input: bool,
    v_reset: float | None,
    detach_reset: bool,
) -> tuple[Tensor, Tensor] | None:
    """Run the steps of a neuron on a kernel, or leave them to the neuron's own loop.

    Args:
        x_seq: Input currents, shape [T, N, ...].
        v: Stored membrane, shape [N, ...]; one value expanded to it costs the backward nothing.
        threshold: The neuron's number or parameter, as the neuron holds it.
        spec: How the neuron is quantized.
        surrogate_function: What makes its spikes; the kernel knows `nn.Spike` alone.
        membrane: What stores its membrane, built from `spec`.
        tau: See `Parameters`, as for the others.
        decay_input: See `Parameters`.
        v_reset: See `Parameters`.
        detach_reset: See `Parameters`.

    Returns:
        Spikes [T, N, ...] and the last stored membrane [N, ...], or None where no kernel runs; the
        log then has said why.

    Raises:
        BackendError: If QSNN_BACKEND names a backend that cannot run.

    Example:
        >>> from qsnn_plugins.nn import Spike, membrane_quantizer
        >>> spec = QuantSpec()
        >>> parts = Spike.from_spec(spec.spike), membrane_quantizer(spec.membrane)
        >>> import torch
        >>> x_seq = torch.zeros(2, 3, dtype=torch.float64)
        >>> run(x_seq, x_seq[0], 1.0, spec, *parts, 2.0, False, 0.0, False) is None
        True
    """
    named = asked_for()
    if named == "reference":
        return None
    reason = _uncovered(spec, surrogate_function, membrane)
    if reason is not None:
        settle(named, reason)
        return None
    if isinstance(threshold, Tensor):
        threshold = per_channel(keep_positive(threshold), x_seq.dim() - 1)
    else:
        threshold = x_seq.new_full((), threshold, dtype=cpp.wide_type(x_seq.dtype))
    parameters = Parameters(
        spec.membrane,
        _spike(spec.spike, surrogate_function),
        spec.threshold,
        tau,
        decay_input,
        v_reset,
        detach_reset,
        surrogate_function.fires_at_zero,  # type: ignore[arg-type]
    )
    if settle(named, cpp.refusal(x_seq, v, threshold, parameters)) == "reference":
        return None
    if v.numel() > 0 and not v.requires_grad and not any(v.stride()):
        v = v[(0,) * v.dim()]
    return cpp.quantized_lif(x_seq, v, threshold, parameters)


def _uncovered(spec: QuantSpec, fire: nn.Module, store: nn.Module) -> str | None:
    if spec.membrane.kind not in MEMBRANES:
        return f"the membrane is {spec.membrane.kind!r}"
    if spec.pruning.prunes:
        return "membranes are masked before they fire"
    if not isinstance(getattr(fire, "surrogate", None), str):
        return f"the surrogate function is {type(fire).__name__}, not Spike"
    if not fire.spiking:
        return "the surrogate function returns its primitive"
    if getattr(store, "spec", spec.membrane) != spec.membrane:
        return "the membrane's quantizer is not the spec's"
    if any(part._forward_hooks or part._forward_pre_hooks for part in (fire, store)):
        return "a hook looks at every step"
    return None


def _spike(spec: SpikeSpec, fire: nn.Module) -> SpikeSpec:
    """Return the spec of the spikes that are fired: a schedule may have sharpened the surrogate."""
    now: tuple = fire.surrogate, fire.sharpness, fire.bits
    if now == (spec.surrogate, spec.sharpness, spec.bits):
        return spec
    return replace(spec, surrogate=now[0], sharpness=now[1], bits=now[2])
