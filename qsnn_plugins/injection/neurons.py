"""The neurons of a network, and swapping one for another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.injection.hosts import HostAdapter

__all__ = ["Neuron", "find_neurons", "module_devices", "module_names"]

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
)


class Place(NamedTuple):
    """Where a module stands: `parent._modules[key]`, by its full name."""

    parent: nn.Module
    key: str
    name: str


@dataclass
class Neuron:
    """A host's neuron in a network, and what replaces it."""

    module: nn.Module
    host: HostAdapter
    names: tuple[str, ...]
    places: list[Place] = field(default_factory=list)
    new: nn.Module | None = None

    @property
    def kind(self) -> str:
        """The class of the host's neuron."""
        return type(self.module).__name__

    def prepare(self, new: nn.Module, device: torch.device) -> None:
        """Keep what will replace the neuron, on a device and with its mode and hooks."""
        self.new = new.to(device).train(self.module.training)
        for hooks in _HOOKS:
            setattr(new, hooks, getattr(self.module, hooks))  # the same objects: handles stay valid

    def swap_in(self) -> None:
        """Put what replaces the neuron into all its places."""
        for place in self.places:
            place.parent._modules[place.key] = self.new

    def check_is_there(self) -> None:
        """Raise an error if what was swapped in was replaced since."""
        for place in self.places:
            there: Any = place.parent._modules.get(place.key)
            if there is not self.new:
                allowed = "the network as it was injected: this neuron was replaced since"
                raise ArgumentError(place.name, there, allowed)

    def swap_back(self) -> None:
        """Put the host's neuron back, in the mode of the one that replaced it."""
        if self.new is not None:
            self.module.train(self.new.training)
        for place in self.places:
            place.parent._modules[place.key] = self.module


def find_neurons(
    network: nn.Module, hosts: Sequence[HostAdapter], names: Mapping[int, tuple[str, ...]]
) -> list[Neuron]:
    """List each distinct neuron of some hosts; parts of neurons are not looked at.

    Raises:
        ArgumentError: If the network is a neuron itself.
    """

    def host_of(module: nn.Module | None) -> HostAdapter | None:
        if module is None:
            return None
        return next((host for host in hosts if host.is_neuron(module)), None)

    if host_of(network) is not None:
        allowed = "a network that holds neurons: a neuron alone cannot be replaced in place"
        raise ArgumentError("network", type(network).__name__, allowed)
    found: dict[int, Neuron] = {}
    inside: set[int] = set()
    for prefix, parent in network.named_modules():
        if id(parent) in inside:
            continue
        for key, child in parent._modules.items():
            host = host_of(child)
            if child is None or host is None:
                continue
            if id(child) not in found:
                found[id(child)] = Neuron(child, host, names[id(child)])
                inside.update(map(id, child.modules()))
            name = f"{prefix}.{key}" if prefix else key
            found[id(child)].places.append(Place(parent, key, name))
    return list(found.values())


def module_names(network: nn.Module) -> dict[int, tuple[str, ...]]:
    """Full names of each module: several where it stands in several places."""
    names: dict[int, tuple[str, ...]] = {}
    for name, module in network.named_modules(remove_duplicate=False):
        names[id(module)] = (*names.get(id(module), ()), name)
    return names


def module_devices(network: nn.Module) -> dict[int, torch.device]:
    """Device of each module: of its own tensors, or else of those defined before it."""
    devices: dict[int, torch.device] = {}
    current = next((p.device for p in network.parameters()), torch.device("cpu"))
    for module in network.modules():
        own = next((t.device for t in (*module.parameters(False), *module.buffers(False))), None)
        current = own or current
        devices[id(module)] = current
    return devices
