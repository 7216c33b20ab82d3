"""The neurons of a network, their inputs and their replacements."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.injection.hosts import HostAdapter

__all__ = [
    "Neuron",
    "copy_of",
    "find_neurons",
    "first_tensor",
    "input_shapes",
    "module_devices",
    "module_names",
    "reset_states",
    "run_copy",
]

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


@dataclass
class Neuron:
    """A host's neuron in a network, by all its full names, and what replaces it."""

    module: nn.Module
    host: HostAdapter
    names: tuple[str, ...] = ()
    new: Any = None
    noted: tuple[str, ...] = ()  # attributes that are the user's

    @property
    def kind(self) -> str:
        """The class of the host's neuron."""
        return type(self.module).__name__

    @property
    def one_threshold(self) -> float | None:
        """The threshold of the host's neuron, if it has one alone, above 0 and finite."""
        value = self.host.threshold(self.module)
        if isinstance(value, Tensor):
            value = math.nan if value.is_meta else value.detach().flatten().tolist()
        first, *others = set(value) if isinstance(value, list) else (float(value),)
        return None if others or not 0 < first < math.inf else first

    def prepare(self, new: nn.Module, device: torch.device) -> None:
        """Keep what will replace the neuron, on a device, with its mode, hooks and notes."""
        self.new = new.to(device).train(self.module.training)
        for hooks in _HOOKS:
            setattr(new, hooks, getattr(self.module, hooks))  # the same objects: handles stay valid
        # what users have noted there, which their hooks may read
        noted = {k: v for k, v in vars(self.module).items() if not hasattr(new, k)}
        vars(new).update(noted)
        self.noted = tuple(noted)

    def hand_back(self, baked: bool) -> None:
        """Give the old neuron what has been changed on the new one since."""
        notes = vars(self.new)
        vars(self.module).update({key: notes[key] for key in self.noted if key in notes})
        self.host.hand_back(self.module, self.new, baked)


def find_neurons(network: nn.Module, hosts: Sequence[HostAdapter]) -> list[Neuron]:
    """List each distinct neuron of some hosts; parts of neurons are not looked at.

    Raises:
        ArgumentError: If the network is a neuron itself.
    """
    found: dict[int, Neuron] = {}
    outer = None
    for name, module in network.named_modules(remove_duplicate=False):
        if outer is not None and name.startswith(f"{outer}."):
            continue
        host = next((host for host in hosts if host.is_neuron(module)), None)
        if host is None:
            continue
        if module is network:
            allowed = "a network that holds neurons: a neuron alone cannot be replaced in place"
            raise ArgumentError("network", type(network).__name__, allowed)
        outer = name
        neuron = found.setdefault(id(module), Neuron(module, host))
        neuron.names += (name,)
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


def reset_states(network: Any) -> None:
    """Reset the states of all neurons of a network, of either host."""
    for module in network.modules():
        if hasattr(module, "reset_mem"):
            module.reset_mem()
        elif hasattr(module, "_memories"):
            module.reset()


def copy_of(network: nn.Module, example_input: Any) -> tuple[nn.Module, dict[int, nn.Module]]:
    """Copy a network that an example will run through: the copy, and whose copy each part is.

    Raises:
        ArgumentError: If there is no example, or the network cannot be copied.

    Example:
        >>> network = nn.Sequential(nn.ReLU())
        >>> twin, originals = copy_of(network, torch.rand(2))
        >>> originals[id(twin[0])] is network[0]
        True
    """
    if example_input is None:
        allowed = "an input of the network: the spec needs to see one run of it"
        raise ArgumentError("example_input", None, allowed)
    try:
        twin = copy.deepcopy(network)
    except RuntimeError as error:
        allowed = f"one whose states were reset: it cannot be copied ({error})"
        raise ArgumentError("network", type(network).__name__, allowed) from error
    pairs = zip(twin.modules(), network.modules(), strict=True)
    return twin, {id(copied): original for copied, original in pairs}


def run_copy(twin: nn.Module, example_input: Any) -> Any:
    """Run what `copy_of` gave on an example, in evaluation mode.

    Raises:
        ArgumentError: If the network does not take the example.

    Example:
        >>> run_copy(nn.Linear(3, 2), torch.rand(5, 4))
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: example_input=(5, 4) is not allowed: give an input that \
Linear takes (mat1 and mat2 shapes cannot be multiplied (5x4 and 3x2))
    """
    try:
        return twin.eval()(example_input)
    except QSNNError:
        raise
    except Exception as error:  # any network runs here: what it raises is its own
        is_tensor = isinstance(example_input, Tensor)
        given = tuple(example_input.shape) if is_tensor else type(example_input).__name__
        reason = " ".join(str(error).split())
        allowed = f"an input that {type(twin).__name__} takes ({reason})"
        raise ArgumentError("example_input", given, allowed) from error


def input_shapes(network: nn.Module, example_input: Any) -> dict[int, set[tuple[int, ...]]]:
    """Shapes of the inputs that each module, by its id, gets in one run of a copy of the network.

    Raises:
        ArgumentError: If there is no input or the network does not take it, or cannot be copied.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        >>> input_shapes(network, torch.rand(2, 3))[id(network[1])]
        {(2, 4)}
    """
    twin, originals = copy_of(network, example_input)
    shapes: dict[int, set[tuple[int, ...]]] = {}
    for copied in twin.modules():
        own = shapes.setdefault(id(originals[id(copied)]), set())
        copied.register_forward_pre_hook(_recorder(own), with_kwargs=True)
    with torch.no_grad():
        run_copy(twin, example_input)
    return shapes


def _recorder(shapes: set[tuple[int, ...]]) -> Callable[[nn.Module, Any, Any], None]:
    def record(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        if (x := first_tensor(inputs, named)) is not None:
            shapes.add(tuple(x.shape))

    return record


def first_tensor(inputs: tuple[Any, ...], named: dict[str, Any]) -> Tensor | None:
    """Return what a module is called with first, by place or by name, if that is a tensor.

    Example:
        >>> first_tensor((), {"x": torch.zeros(2)})
        tensor([0., 0.])
    """
    x = next(iter((*inputs, *named.values())), None)
    return x if isinstance(x, Tensor) else None
