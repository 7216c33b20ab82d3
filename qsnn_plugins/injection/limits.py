"""Sums of spikes in a network that are limited to the bits of a spike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.injection.hosts import HostAdapter, LeftAlone, find_hosts
from qsnn_plugins.injection.neurons import Neuron, module_names
from qsnn_plugins.injection.report import LimitedSum
from qsnn_plugins.nn import SumLimit
from qsnn_plugins.spec import QuantSpec

__all__ = ["SumPlace", "find_sums", "limit_attentions"]

# SpikingJelly's blocks say what joins their branches in `cnf`, those of SEW-ResNet's authors and of
# who follows them in `connect_f`
_CONNECTIONS = ("cnf", "connect_f")
_PRODUCTS = ("AND", "IAND")
_NOTHING = (
    "spike.limit_sums limits nothing: the network has no SEW block (a module that says ADD, AND or "
    "IAND in cnf or connect_f) and no SpikingSelfAttention"
)


@dataclass
class SumPlace:
    """A module whose sums are limited, and its host where they are those of its attention."""

    module: nn.Module
    limit: SumLimit
    host: HostAdapter | None

    def put(self) -> None:
        """Limit the sums."""
        self.module.add_module("sum_limit", self.limit)
        if self.host is None:
            self.module.register_forward_hook(_limit_output, prepend=True)
        else:
            self.host.limit_attention(self.module, self.limit)

    def remove(self) -> None:
        """Undo `put`."""
        if self.host is None:
            hooks = self.module._forward_hooks
            for key in [key for key, hook in hooks.items() if hook is _limit_output]:
                del hooks[key]
        else:
            self.host.limit_attention(self.module, None)
        del self.module.sum_limit


# no closure: the copy of a block has to find its own limit
def _limit_output(block: Any, inputs: Any, output: Any) -> Tensor:
    if not isinstance(output, Tensor):
        argument, allowed = f"output of {type(block).__name__}", "one tensor for spike.limit_sums"
        raise ArgumentError(argument, type(output).__name__, allowed)
    return block.sum_limit(output)


def find_sums(
    network: nn.Module,
    hosts: Sequence[HostAdapter],
    neurons: Sequence[Neuron],
    chosen: Mapping[int, QuantSpec | LeftAlone],
) -> tuple[list[LimitedSum], list[SumPlace], tuple[str, ...]]:
    """Find the outputs of SEW blocks and the attention matrices whose neurons' spec limits sums.

    Args:
        network: A network whose neurons are not swapped yet.
        hosts: Adapters that know which modules are attention.
        neurons: Its neurons, with what replaces them.
        chosen: Specs by the id of each neuron.

    Returns:
        What is limited; where; and notes of what could not be.

    Raises:
        ArgumentError: If spikes are added in units of a threshold that learns.
    """
    specs = {
        id(neuron.module): spec
        for neuron in neurons
        if neuron.new is not None and isinstance(spec := chosen[id(neuron.module)], QuantSpec)
    }
    if not any(spec.spike.limit_sums for spec in specs.values()):
        return [], [], ()
    rows, places, notes = list[LimitedSum](), list[SumPlace](), list[str]()
    names = module_names(network)
    for module in network.modules():
        what, host, spiking = _sums_of(module, hosts)
        if isinstance(spiking, LeftAlone):
            limit: SumLimit | LeftAlone | None = spiking
        else:
            ids = set(map(id, spiking))
            limit = _limit_of([n for n in neurons if id(n.module) in ids], specs)
        if isinstance(limit, SumLimit) and hasattr(module, "sum_limit"):
            limit = LeftAlone("it has a `sum_limit` of its own")
        if isinstance(limit, SumLimit) and limit.unit != 1 and _connection(module) in _PRODUCTS:
            limit = LeftAlone("it multiplies spikes times a threshold that is not 1")
        name, kind = names[id(module)], type_before_parametrizations(module).__name__
        if isinstance(limit, LeftAlone):
            notes.append(f"the {what} of {name[0]} ({kind}) is not limited: {limit.why}")
        elif limit is not None:
            rows.append(LimitedSum(name, kind, limit.bits, what))
            places.append(SumPlace(module, limit, host))
    return rows, places, tuple(notes if rows or notes else [_NOTHING])


def limit_attentions(network: nn.Module, bits: int | None) -> None:
    """Limit the attention matrices of a network to some bits; None removes the limit.

    Example:
        >>> limit_attentions(nn.Sequential(nn.Linear(2, 2)), bits=2)
    """
    hosts = find_hosts(network)
    for module in list(network.modules()):
        _, host, spiking = _sums_of(module, hosts)
        if host is None or isinstance(spiking, LeftAlone):
            continue
        if hasattr(module, "sum_limit"):
            host.limit_attention(module, None)
        if bits is not None:
            host.limit_attention(module, SumLimit(bits))


def _sums_of(
    module: nn.Module, hosts: Sequence[HostAdapter]
) -> tuple[str, HostAdapter | None, Sequence[nn.Module] | LeftAlone]:
    """What a module adds up, whose attention it is, and the neurons whose spikes it adds."""
    for host in hosts:
        spiking = host.attention(module)
        if spiking is not None:
            return "attention matrix", host, spiking
    inner = any(_connection(part) for part in module.modules() if part is not module)
    if _connection(module) and not inner:  # a network may note the connection of its blocks
        if isinstance(module, nn.Sequential):  # which might run its limit as one of its layers
            return "output", None, LeftAlone("a Sequential has no place for what limits it")
        return "output", None, list(module.modules())
    return "", None, ()


def _connection(module: nn.Module) -> str:
    """What joins the branches of a SEW block; nothing for other modules."""
    found = (getattr(module, name, None) for name in _CONNECTIONS)
    return next((how for how in found if isinstance(how, str) and how in ("ADD", *_PRODUCTS)), "")


def _limit_of(
    neurons: Sequence[Neuron], specs: Mapping[int, QuantSpec]
) -> SumLimit | LeftAlone | None:
    """The limit that all of some neurons have; None where none of them has one.

    Raises:
        ArgumentError: If a neuron's spikes are in units of a threshold that learns.
    """
    limits = set[tuple[int, float] | None]()
    for neuron in neurons:
        spec = specs.get(id(neuron.module))
        if spec is None or not spec.spike.limit_sums:
            limits.add(None)
            continue
        in_thresholds, name = spec.spike.value == "threshold", neuron.names[0]
        if in_thresholds and isinstance(neuron.host.threshold(neuron.new), nn.Parameter):
            allowed = (
                "False where spike.value is 'threshold' and thresholds learn: "
                "the spikes that are added have no unit in common"
            )
            raise ArgumentError(f"{name}.spike.limit_sums", True, allowed)
        unit = neuron.one_threshold if in_thresholds else 1.0
        if unit is None:
            return LeftAlone(f"{name} has no one finite threshold above 0")
        limits.add((spec.spike.bits, unit))
    if limits <= {None}:
        return None
    first, *others = limits
    if others or first is None:
        differ = "its neurons differ in spike.bits, spike.limit_sums or threshold"
        return LeftAlone(f"{differ}, or some are left alone")
    return SumLimit(*first)
