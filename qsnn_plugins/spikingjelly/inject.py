"""Injection into networks of SpikingJelly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spikingjelly.activation_based import neuron
from torch import Tensor, nn

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
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spikingjelly.attention import attention, limit_attention
from qsnn_plugins.spikingjelly.base import QuantNode
from qsnn_plugins.spikingjelly.legacy import forget_reset_cache
from qsnn_plugins.spikingjelly.neuron import QuantIFNode, QuantLIFNode, QuantParametricLIFNode

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
    """Quantize a network in place like `qsnn_plugins.inject`, but only SpikingJelly's neurons.

    LIF, IF and PLIF neurons are replaced; they keep step mode and `store_v_seq`.

    Args:
        network: A network with neurons of SpikingJelly.
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
        >>> network = nn.Sequential(nn.Linear(4, 2), neuron.LIFNode(), nn.Linear(2, 1))
        >>> print(inject(network, "imsnn"))
                  name  module                   bits
        replaced  1     LIFNode -> QuantLIFNode     2  surrogate Sigmoid -> triangle
        weight    0     Linear                      4  power_of_two
        weight    2     Linear                      4  power_of_two
        >>> type(eject(network)[1]).__name__
        'LIFNode'
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


def _channel_dim(module: nn.Module) -> int:
    return 2 if getattr(module, "step_mode", "s") == "m" else 1


def _is_neuron(module: nn.Module) -> bool:
    return any(kind.__module__.startswith(neuron.__name__) for kind in type(module).__mro__)


def _threshold(module: Any) -> Any:
    return getattr(module, "v_threshold", 1.0)


def _set_threshold(module: Any, threshold: Tensor) -> None:
    module.v_threshold = threshold.item()


def _hand_back(old: Any, new: Any, _: bool) -> None:
    old.step_mode, old.store_v_seq = new.step_mode, new.store_v_seq


def _convert(
    module: nn.Module,
    spec: QuantSpec,
    channels: int | None,
    keep_surrogate: bool,
    fixes_threshold: bool,
) -> Conversion | LeftAlone:
    known = (neuron.LIFNode, neuron.IFNode, neuron.ParametricLIFNode)
    why = why_other_class(module, QuantNode, known)
    if why:
        return LeftAlone(why)
    old: Any = module
    named = {
        "v_threshold": old.v_threshold,
        "v_reset": old.v_reset,
        "surrogate_function": old.surrogate_function if keep_surrogate else None,
        "detach_reset": old.detach_reset,
        "step_mode": old.step_mode,
        "store_v_seq": old.store_v_seq,
        "spec": spec,
        "channels": channels,
    }
    new: QuantNode
    if isinstance(old, neuron.ParametricLIFNode):
        new = QuantParametricLIFNode(decay_input=old.decay_input, **named)
        new.w = old.w  # the same parameter: an optimizer that has it stays valid
    elif isinstance(old, neuron.LIFNode):
        new = QuantLIFNode(old.tau, old.decay_input, **named)
    else:
        new = QuantIFNode(**named)
    if keep_surrogate:
        return Conversion(new)
    return Conversion(new, surrogate_note(type(old.surrogate_function).__name__, spec))


ADAPTER = HostAdapter(
    "spikingjelly",
    _is_neuron,
    _convert,
    _channel_dim,
    _threshold,
    forget_reset_cache,
    attention,
    limit_attention,
    _set_threshold,
    _hand_back,
)
