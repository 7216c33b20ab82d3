"""The interface of a host for injection, and the hosts of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from qsnn_plugins.nn import SumLimit
from qsnn_plugins.spec import QuantSpec

__all__ = [
    "Conversion",
    "HostAdapter",
    "LeftAlone",
    "find_hosts",
    "surrogate_note",
    "why_other_class",
]

# A host's package, and our module that holds its `ADAPTER`.
_ADAPTERS = {
    "spikingjelly": "qsnn_plugins.spikingjelly.inject",
    "snntorch": "qsnn_plugins.snntorch.inject",
}


@dataclass(frozen=True)
class Conversion:
    """The neuron that replaces another, and what else changes with it."""

    module: nn.Module
    note: str = ""


@dataclass(frozen=True)
class LeftAlone:
    """Why a module is left alone, and whether the caller asked for it."""

    why: str
    asked: bool = False


def _first(_: nn.Module) -> int:
    return 1


def _one(_: nn.Module) -> float:
    return 1.0


def _nothing(*_: Any) -> None:
    pass


@dataclass(frozen=True)
class HostAdapter:
    """What `inject` needs to know of a host, as functions, so that networks can be pickled.

    Args:
        name: The host's package.
        is_neuron: Whether a module is a neuron of the host, whether or not it can be replaced.
        convert: Builds what replaces a neuron from the neuron, its spec, the channels of its input
            where the spec needs them, whether the surrogate function is kept, and whether a
            threshold that learns is fixed.
        channel_dim: Which dimension of a neuron's input holds the channels.
        threshold: A neuron's threshold, a number or a tensor; 1 where it has none.
        after_swap: Called with the network after neurons were swapped, in either direction.
        attention: The neurons whose spikes a module multiplies with each other; None where it is
            no attention.
        limit_attention: Gives an attention a limit of its matrix, or takes it away for None.
        set_threshold: Gives a neuron a threshold, of shape [] or of its own threshold's.
        hand_back: Gives an old neuron what has been changed on the new one: the modes of the host,
            and, if the weights are baked, fixed values that a loaded state has brought.
    """

    name: str
    is_neuron: Callable[[nn.Module], bool]
    convert: Callable[[nn.Module, QuantSpec, int | None, bool, bool], Conversion | LeftAlone]
    channel_dim: Callable[[nn.Module], int] = _first
    threshold: Callable[[nn.Module], Any] = _one
    after_swap: Callable[[nn.Module], None] = _nothing
    attention: Callable[[nn.Module], Sequence[nn.Module] | LeftAlone | None] = _nothing
    limit_attention: Callable[[nn.Module, SumLimit | None], None] = _nothing
    set_threshold: Callable[[nn.Module, Tensor], None] = _nothing
    hand_back: Callable[[nn.Module, nn.Module, bool], None] = _nothing


def why_other_class(module: nn.Module, ours: type, known: tuple[type, ...]) -> str:
    """Return why the class of a neuron cannot be replaced; an empty string if it can."""
    if isinstance(module, ours):
        return "it is one of qsnn_plugins already"
    if type(module) in known:
        methods = (key for key in vars(module) if callable(getattr(type(module), key, None)))
        own = [key for key in methods if key != "extra_repr"]  # which computes nothing
        return f"its {own[0]} was replaced, what that does would be lost" if own else ""
    for kind in known:
        if isinstance(module, kind):
            return f"a subclass of {kind.__name__}, what it adds would be lost"
    *names, last = (kind.__name__ for kind in known)
    return f"{', '.join(names)} and {last} can be replaced"


def surrogate_note(before: str, spec: QuantSpec) -> str:
    """Return the report's note on the surrogate function of a replaced neuron."""
    after = spec.spike.surrogate if spec.spike.bits == 1 else "straight-through"
    return f"surrogate {before} -> {after}"


def find_hosts(network: nn.Module) -> list[HostAdapter]:
    """List the adapters of the hosts whose classes a network's modules have.

    A host is not imported where none of its classes is there.
    """
    packages = {
        kind.__module__.partition(".")[0]
        for module in network.modules()
        for kind in type(module).__mro__
    }
    return [import_module(path).ADAPTER for name, path in _ADAPTERS.items() if name in packages]
