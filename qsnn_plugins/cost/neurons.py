"""Finding the neurons of a network, of this package and of either host, without importing one."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from qsnn_plugins.spec import QuantSpec

__all__ = ["all_neurons", "forget_states", "neuron_states"]

# A host's base class of neurons, by the package that defines it.
_BASES = {"spikingjelly": ("BaseNode", "SimpleBaseNode"), "snntorch": ("SpikingNeuron",)}
_SNNTORCH_STATES = ("mem", "mem_prev", "syn", "syn_exc", "syn_inh", "spk")


def all_neurons(network: nn.Module) -> dict[str, nn.Module]:
    """List the neurons of a network by name, in the order of definition; parts of one are not.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> list(all_neurons(StringNet("4C3-GAP-FC2")))
        ['blocks.conv1.neuron']
    """
    found: dict[str, nn.Module] = {}
    inside: set[int] = set()
    for name, module in network.named_modules():
        if id(module) not in inside and _is_neuron(module):
            found[name] = module
            inside.update(map(id, module.modules()))
    return found


def _is_neuron(module: nn.Module) -> bool:
    if isinstance(getattr(module, "quant_spec", None), QuantSpec):
        return True
    return any(
        kind.__name__ in _BASES.get(kind.__module__.partition(".")[0], ())
        for kind in type(module).__mro__
    )


def neuron_states(neuron: nn.Module, count: int) -> int:
    """Count the values that a neuron has stored of each of its `count` neurons, 1 at least."""
    memories = getattr(neuron, "_memories", None)
    if memories is None:  # snnTorch; spikes are a state only where they come back
        names = _SNNTORCH_STATES[: None if hasattr(neuron, "recurrent") else -1]
        memories = {name: getattr(neuron, name, None) for name in names}
    return max(1, sum(isinstance(m, Tensor) and m.numel() == count for m in memories.values()))


def forget_states(network: Any) -> None:
    """Forget the states of all neurons of a network, of whichever host."""
    for module in network.modules():
        if hasattr(module, "reset_mem"):
            module.reset_mem()
        elif hasattr(module, "_memories"):
            module.reset()
