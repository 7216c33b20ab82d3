"""Injection into networks of snnTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import snntorch
import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.injection import (
    Conversion,
    FilterFn,
    HostAdapter,
    InjectionReport,
    LeftAlone,
    SpecLike,
    eject,
    inject_hosts,
    surrogate_note,
    why_other_class,
)
from qsnn_plugins.snntorch.lapicque import QuantLapicque, leak_and_gain
from qsnn_plugins.snntorch.neuron import QuantLeaky
from qsnn_plugins.spec import QuantSpec

__all__ = ["ADAPTER", "eject", "inject"]


def inject(
    network: nn.Module,
    spec: SpecLike,
    *,
    overrides: Mapping[str, SpecLike | None] | None = None,
    filter_fn: FilterFn | None = None,
    example_input: Tensor | None = None,
    keep_surrogate: bool = False,
    absolute_levels: bool = False,
) -> InjectionReport:
    """Quantize a network in place like `qsnn_plugins.inject`, but only snnTorch's neurons.

    Leaky and Lapicque neurons are replaced; they keep graded spikes, reset mechanism and delay,
    `init_hidden` and `output`.

    Args:
        network: A network with neurons of snnTorch.
        spec: See `qsnn_plugins.inject`, as for all that follow.
        overrides: Other specs for modules that match a glob pattern.
        filter_fn: Which neurons and layers are quantized.
        example_input: Input of the network.
        keep_surrogate: Whether the neurons keep their surrogate functions.
        absolute_levels: Whether levels are used as they are, and not multiplied by thresholds.

    Returns:
        A report of what was replaced, left alone and quantized.

    Raises:
        ArgumentError: See `qsnn_plugins.inject`; the network is not changed then.

    Example:
        >>> neuron = snntorch.Leaky(beta=0.5, init_hidden=True)
        >>> network = nn.Sequential(nn.Linear(4, 2), neuron, nn.Linear(2, 1))
        >>> print(inject(network, "imsnn"))
                  name  module               bits
        replaced  1     Leaky -> QuantLeaky     2  surrogate atan -> triangle
        weight    0     Linear                  4  power_of_two
        weight    2     Linear                  4  power_of_two
        >>> type(eject(network)[1]).__name__
        'Leaky'
    """
    return inject_hosts(
        [ADAPTER],
        network,
        spec,
        overrides,
        filter_fn,
        example_input,
        keep_surrogate,
        absolute_levels,
    )


def _is_neuron(module: nn.Module) -> bool:
    # LeakyParallel is no SpikingNeuron
    return isinstance(module, snntorch.SpikingNeuron | snntorch.LeakyParallel)


def _threshold(module: Any) -> Any:
    return getattr(module, "threshold", 1.0)


def _set_threshold(module: Any, threshold: Tensor) -> None:
    _fill(module, "threshold", threshold)


@torch.no_grad()
def _fill(module: nn.Module, name: str, value: Tensor) -> None:
    held: Any = getattr(module, name)
    if held.is_floating_point():
        held.copy_(value)
    else:  # of a number that was given as an integer, which would cut the value
        setattr(module, name, value.clone())


@torch.no_grad()
def _hand_back(old: nn.Module, new: nn.Module, baked: bool) -> None:
    for name in ("beta", "threshold", "graded_spikes_factor") * baked:
        mine, theirs = old._buffers.get(name), new._buffers.get(name)
        if mine is None or theirs is None or mine.shape != theirs.shape:
            continue
        if name == "beta":
            if isinstance(old, snntorch.Lapicque):  # beta is exp(-Δt / RC) there, and leaks nothing
                continue
            if not mine.is_meta and torch.equal(mine.clamp(0, 1).to(theirs), theirs):
                continue  # one beyond the range that it is clamped to stays
        _fill(old, name, theirs)


def _convert(
    module: nn.Module,
    spec: QuantSpec,
    channels: int | None,
    keep_surrogate: bool,
    fixes_threshold: bool,
) -> Conversion | LeftAlone:
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        allowed = "one with values, which levels follow: inject a network before it goes to meta"
        raise ArgumentError("device", "meta", allowed)
    why = _why_left(module, spec)
    if why:
        return LeftAlone(why)
    old: Any = module
    named = {
        "threshold": old.threshold.detach().clone(),
        "spike_grad": old.spike_grad if keep_surrogate else None,
        "surrogate_disable": bool(old.surrogate_disable),  # the host takes anything for a flag
        "init_hidden": bool(old.init_hidden),
        "learn_threshold": isinstance(old.threshold, nn.Parameter) and not fixes_threshold,
        "reset_mechanism": old.reset_mechanism,
        "output": bool(old.output),
        "graded_spikes_factor": old.graded_spikes_factor.detach().clone(),
        "learn_graded_spikes_factor": isinstance(old.graded_spikes_factor, nn.Parameter),
        "spec": spec,
        "channels": channels,
    }
    new: QuantLeaky
    if isinstance(old, snntorch.Lapicque):
        # R and C leak, which never learn
        new = QuantLapicque(*leak_and_gain(old.time_step, old.R, old.C), **named)
    else:
        # a learned beta may lie beyond the range that it is clamped to
        beta = old.beta.detach().clamp(0, 1)
        new = QuantLeaky(
            beta,
            inhibition=bool(old.inhibition),
            learn_beta=isinstance(old.beta, nn.Parameter),
            reset_delay=bool(old.reset_delay),
            **named,
        )
    for name, parameter in old._parameters.items():
        mine = new._parameters.get(name)
        if mine is not None and parameter is not None and mine.shape == parameter.shape:
            new._parameters[name] = parameter  # an optimizer that has it stays valid
    if keep_surrogate or old.surrogate_disable:
        return Conversion(new)
    before = getattr(old.spike_grad, "__qualname__", type(old.spike_grad).__name__)
    return Conversion(new, surrogate_note(before.partition(".")[0], spec))


def _why_left(module: Any, spec: QuantSpec) -> str:
    """Why a neuron stays as it is; nothing where it can be replaced."""
    why = why_other_class(module, QuantLeaky, (snntorch.Leaky, snntorch.Lapicque))
    if why:
        return why
    if module.state_quant:
        return "it has a state_quant of its own"
    # our Lapicque has a step of its own, whatever the spec
    if module.inhibition and not (spec.is_plain and isinstance(module, snntorch.Leaky)):
        return "inhibition lets one neuron fire, and all would reset"
    if isinstance(module, snntorch.Lapicque):
        leak = leak_and_gain(module.time_step, module.R, module.C)[0]
        if not 0 <= leak <= 1:
            return f"its leak 1 - Δt/RC is {float(leak):.3g}, not from 0 to 1"
    return ""


ADAPTER = HostAdapter(
    "snntorch",
    _is_neuron,
    _convert,
    threshold=_threshold,
    set_threshold=_set_threshold,
    hand_back=_hand_back,
)
