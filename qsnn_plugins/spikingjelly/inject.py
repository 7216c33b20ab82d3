"""A spec for the networks that people have in SpikingJelly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spikingjelly.activation_based import base, neuron
from torch import Tensor, nn

from qsnn_plugins.injection import (
    Conversion,
    InjectionReport,
    LeftAlone,
    eject_neurons,
    inject_neurons,
)
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spikingjelly.base import QuantNode
from qsnn_plugins.spikingjelly.legacy import forget_reset_cache
from qsnn_plugins.spikingjelly.neuron import QuantIFNode, QuantLIFNode, QuantParametricLIFNode

__all__ = ["eject", "inject"]

_KNOWN = (neuron.LIFNode, neuron.IFNode, neuron.ParametricLIFNode)


def inject(
    network: nn.Module,
    spec: QuantSpec,
    example_input: Tensor | None = None,
    keep_surrogate: bool = False,
) -> InjectionReport:
    """Quantize a SpikingJelly network in place: its LIF, IF and PLIF neurons, and its weights.

    A new neuron keeps leak (the learned one as the same parameter), threshold, reset, step mode
    and `store_v_seq`; its state starts at rest, and its surrogate is the spec's, unless the old
    ones are kept. Neurons of other classes, subclasses of the three included, are left alone: what
    they do beside charging, firing and resetting would be lost. Build the optimizer afterwards
    where the spec brings parameters of its own, such as learned thresholds. Where the network is a
    part of a larger one that was reset before, call SpikingJelly's
    `functional.invalidate_reset_cache` on that one.

    Args:
        network: A network with neurons of SpikingJelly; shared ones stay shared.
        spec: How it is going to be quantized.
        example_input: Input of the network, needed where the spec masks channels or gives each a
            threshold; a copy of the network is run on it once.
        keep_surrogate: Whether the neurons keep their surrogate functions.

    Returns:
        What was replaced, left alone and quantized; a table when printed.

    Raises:
        ArgumentError: If there is nothing to replace, the network was injected before or is a
            neuron itself, or the spec does not fit it. Nothing is changed then.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 2), neuron.LIFNode(), nn.Linear(2, 1))
        >>> print(inject(network, QuantSpec()))
        replaced  1  LIFNode -> QuantLIFNode (surrogate Sigmoid -> triangle)
        >>> type(eject(network)[1]).__name__
        'LIFNode'
    """

    def convert(module: nn.Module, channels: int | None) -> Conversion | LeftAlone | None:
        return _convert(module, spec, channels, keep_surrogate)

    report = inject_neurons(network, spec, convert, example_input, _channel_dim)
    forget_reset_cache(network)
    return report


def eject(network: nn.Module) -> nn.Module:
    """Undo `inject`: the network with its own neurons and plain float weights.

    Args:
        network: A network after `inject`, or a copy of one.

    Returns:
        The network; neurons and parameters are the objects that they were.

    Raises:
        ArgumentError: If it was not injected.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 2), neuron.IFNode())
        >>> _ = inject(network, QuantSpec())
        >>> eject(network)[1].v_threshold
        1.0
    """
    eject_neurons(network)
    forget_reset_cache(network)
    return network


def _channel_dim(module: nn.Module) -> int:
    return 2 if getattr(module, "step_mode", "s") == "m" else 1


def _convert(
    module: nn.Module, spec: QuantSpec, channels: int | None, keep_surrogate: bool
) -> Conversion | LeftAlone | None:
    is_neuron = isinstance(module, base.MemoryModule | base.MultiStepModule) and any(
        kind.__module__.startswith(neuron.__name__) for kind in type(module).__mro__
    )
    if not is_neuron:
        return None
    if isinstance(module, QuantNode):
        return LeftAlone("it is one of qsnn_plugins already")
    if type(module) not in _KNOWN:
        for known in _KNOWN:
            if isinstance(module, known):
                return LeftAlone(f"a subclass of {known.__name__}, what it adds would be lost")
        return LeftAlone("LIFNode, IFNode and ParametricLIFNode can be replaced")
    old: Any = module
    arguments = {
        "v_threshold": old.v_threshold,
        "v_reset": old.v_reset,
        "surrogate_function": old.surrogate_function if keep_surrogate else None,
        "detach_reset": old.detach_reset,
        "step_mode": old.step_mode,
        "store_v_seq": old.store_v_seq,
        "spec": spec,
        "channels": channels,
    }
    new = _BUILDERS[type(module)](old, arguments)
    note = ""
    if not keep_surrogate:
        ours = spec.spike.surrogate if spec.spike.bits == 1 else "straight-through"
        note = f"surrogate {type(old.surrogate_function).__name__} -> {ours}"
    return Conversion(new, note)


def _lif(old: Any, arguments: dict[str, Any]) -> QuantNode:
    return QuantLIFNode(old.tau, old.decay_input, **arguments)


def _if(old: Any, arguments: dict[str, Any]) -> QuantNode:
    return QuantIFNode(**arguments)


def _plif(old: Any, arguments: dict[str, Any]) -> QuantNode:
    new = QuantParametricLIFNode(decay_input=old.decay_input, **arguments)
    new.w = old.w  # the same parameter: an optimizer that has it stays valid
    return new


_BUILDERS: dict[type, Callable[[Any, dict[str, Any]], QuantNode]] = {
    neuron.LIFNode: _lif,
    neuron.IFNode: _if,
    neuron.ParametricLIFNode: _plif,
}
