"""The operator for a host's neuron: its parts and conventions in, spikes and state out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.ops.quantized_lif import masked_operator, operator
from qsnn_plugins.ops.quantized_lif.backends import asked_for, refusal, settle
from qsnn_plugins.ops.quantized_lif.parameters import MEMBRANES, Parameters
from qsnn_plugins.spec import PruningSpec, QuantSpec, SpikeSpec

__all__ = ["run"]


def run(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor | float,
    spec: QuantSpec,
    surrogate_function: Any,
    membrane: nn.Module,
    decay: Tensor | None = None,
    pruning: nn.Module | None = None,
    **conventions: Any,
) -> tuple[Tensor, Tensor] | None:
    """Run the steps of a neuron on a kernel, or leave them to the neuron's own loop.

    Args:
        x_seq: Input currents, shape [T, N, ...].
        v: Stored membrane, shape [N, ...]; one value expanded to it costs the backward nothing.
        threshold: A number, or a tensor that broadcasts to [N, ...].
        spec: How the neuron is quantized.
        surrogate_function: What makes its spikes; the kernels know `nn.Spike` alone.
        membrane: What stores its membrane, built from `spec`.
        decay: The leak where it is written h = decay q + x, or 1 / tau where `has_rate`, else None.
        pruning: `nn.MembranePruning` where the spec prunes; it is told what was masked.
        **conventions: The host's, arguments of `Parameters`, such as `tau`.

    Returns:
        Spikes [T, N, ...] and the last stored membrane [N, ...], or None where no kernel runs; the
        log then has said why, unless a hook looks at every step or x_seq has no values.

    Raises:
        BackendError: If QSNN_BACKEND names a backend that cannot run.

    Example:
        >>> from qsnn_plugins.nn import Spike, membrane_quantizer
        >>> spec = QuantSpec()
        >>> parts = Spike.from_spec(spec.spike), membrane_quantizer(spec.membrane)
        >>> x_seq = torch.zeros(2, 3, dtype=torch.float64)
        >>> run(x_seq, x_seq[0], 1.0, spec, *parts, tau=2.0) is None
        True
    """
    named = asked_for()
    if named == "reference" or _is_watched(x_seq, surrogate_function, membrane, pruning):
        return None
    kernel = named or ("cupy" if x_seq.device.type == "cuda" else "cpp")
    wide = torch.promote_types(x_seq.dtype, torch.float32)
    if not isinstance(threshold, Tensor):
        threshold = x_seq.new_full((), threshold, dtype=wide)
    reason = _uncovered(spec, surrogate_function, membrane, pruning)
    reason = reason or refusal(kernel, x_seq, v, threshold, spec.pruning, decay)
    if settle(kernel, named is not None, reason) == "reference":
        return None
    store: Any = membrane
    parameters = Parameters(
        spec.membrane,
        _spike(spec.spike, surrogate_function),
        spec.threshold,
        decays=decay is not None and not conventions.get("has_rate"),
        fires_at_threshold=surrogate_function.fires_at_zero,
        scale=store.scale_of_steps if spec.membrane.kind == "uniform" else "given",
        **conventions,
    )
    if v.numel() > 0 and not v.requires_grad and not any(v.stride()):
        v = v[(0,) * v.dim()]
    tensors = {"decay": decay}
    if spec.pruning.prunes:
        return _run_masked(x_seq, v, threshold, parameters, spec.pruning, store, pruning, decay)
    if parameters.measures:  # copies: the buffers change before the backward
        tensors |= {"scale": store.scale.clone(), "has_seen": store.has_seen.clone()}
    elif parameters.has_scale:
        tensors["scale"] = store.given_scale
    spikes, last, maxima = operator.quantized_lif(x_seq, v, threshold, parameters, **tensors)
    if parameters.measures:
        for greatest in maxima.unbind():
            store.observe(greatest)
    return spikes, last


def _run_masked(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    parameters: Parameters,
    spec: PruningSpec,
    store: Any,
    pruning: Any,
    decay: Tensor | None,
) -> tuple[Tensor, Tensor]:
    scorer = pruning.predictor
    predictor = None if scorer is None else (scorer.weight, scorer.bias)
    scale = store.given_scale if parameters.has_scale else None
    arguments = x_seq, v, threshold, parameters, spec, predictor, scale, decay
    spikes, last, shares = masked_operator.masked_lif(*arguments)
    for share in shares.unbind():
        pruning.observe(share)
    return spikes, last


def _uncovered(spec: QuantSpec, fire: Any, store: Any, pruning: Any) -> str | None:
    if spec.membrane.kind not in MEMBRANES:
        return f"the membrane is {spec.membrane.kind!r}"
    if spec.pruning.prunes:
        if _differs(pruning, spec.pruning):
            return "the pruning is not the spec's"
        if spec.membrane.kind == "uniform" and store.scale_of_steps != "given":
            return "the scale of masked membranes is measured"
    if not isinstance(getattr(fire, "surrogate", None), str):
        return f"the surrogate function is {type(fire).__name__}, not Spike"
    if not fire.spiking:
        return "the surrogate function returns its primitive"
    if hasattr(store, "spec") and _differs(store, spec.membrane):
        return "the membrane's quantizer is not the spec's"
    return None


def _differs(part: Any, spec: Any) -> bool:
    """Whether a part was built from another spec; torch.compile cannot compare what may change."""
    own = getattr(part, "spec", None)
    return own is not spec and own != spec


def _is_watched(x_seq: Tensor, *parts: Any) -> bool:
    """Whether a hook looks at every step, or a network without values is only counted."""
    hooked = any(
        part._forward_hooks or part._forward_pre_hooks for part in parts if part is not None
    )
    return hooked or x_seq.device.type == "meta"


def _spike(spec: SpikeSpec, fire: Any) -> SpikeSpec:
    """Return the spec of the spikes that are fired: a schedule may have sharpened the surrogate."""
    if fire.bits > 1:
        return spec if fire.bits == spec.bits else SpikeSpec(bits=fire.bits, value=spec.value)
    now: tuple = fire.surrogate, fire.sharpness, fire.bits
    if now == (spec.surrogate, spec.sharpness, spec.bits):
        return spec
    surrogate, sharpness, bits = now
    return SpikeSpec(surrogate, sharpness, bits, spec.value)
