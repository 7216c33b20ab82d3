"""Neurons that a network holds where torch does not see them, as in plain lists."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MethodType
from typing import Any, NamedTuple

from torch import nn

from qsnn_plugins.injection.hosts import HostAdapter

__all__ = ["hidden_neurons"]

# attributes that torch walks, or that hold hooks; and what Lightning notes, which never runs
_APART = {*vars(nn.Module()), "_hparams", "_hparams_initial"}
_SEARCHED = (nn.Module, dict, list, tuple, set, frozenset, partial, MethodType)
_SAME = object()  # the key of what has no name of its own

_Path = tuple[Any, ...]


class _Child(NamedTuple):
    """The key of a module's part."""

    name: str


def hidden_neurons(
    network: nn.Module, hosts: Sequence[HostAdapter], swapped: Mapping[int, str]
) -> tuple[str, ...]:
    """Say which neurons are held by plain attributes, and so stay what they are.

    Lists, tuples, sets, dicts, bound methods and `functools.partial` are searched, and modules that
    are in them but not in the network.

    Args:
        network: A network whose neurons have been swapped.
        hosts: Adapters that know which modules are neurons.
        swapped: Names of the neurons that were taken out, by their ids.

    Returns:
        One sentence per neuron.

    Example:
        >>> from spikingjelly.activation_based.neuron import LIFNode
        >>> from qsnn_plugins.injection.hosts import find_hosts
        >>> network = nn.Sequential(LIFNode())
        >>> network.steps = [LIFNode()]
        >>> hidden_neurons(network, find_hosts(network), {})
        ('steps[0] (LIFNode) stays as it is: torch sees no modules in plain attributes; in an \
nn.ModuleList it is replaced',)
    """
    known = {id(module) for module in network.modules()}
    found: dict[str, str] = {}
    for prefix, module in network.named_modules():
        for name, part in _held(f"{prefix}." * bool(prefix), module, known):
            kind = type(part).__name__
            if id(part) in known:
                continue
            if id(part) in swapped:
                found[name] = (
                    f"{name} is still the {kind} that {swapped[id(part)]} was: torch sees no "
                    "modules in plain attributes, so build it anew, or use an nn.ModuleList"
                )
            elif any(host.is_neuron(part) for host in hosts):
                found[name] = (
                    f"{name} ({kind}) stays as it is: torch sees no modules in plain attributes; "
                    "in an nn.ModuleList it is replaced"
                )
    return tuple(found.values())


def _held(prefix: str, module: nn.Module, known: set[int]) -> Iterator[tuple[str, nn.Module]]:
    """Modules in a module's plain attributes, by their names."""
    pending = deque[tuple[_Path, Any]]()
    pending.extend(((key,), value) for key, value in vars(module).items() if key not in _APART)
    seen, searched = set[int](), dict[type, bool]()
    while pending:
        path, value = pending.popleft()
        if issubclass(type(value), nn.Module):
            yield prefix + "".join(_words(path)), value
        if id(value) in seen:
            continue
        seen.add(id(value))
        for key, part in _parts(value, known):
            kind = type(part)
            if kind not in searched:
                searched[kind] = issubclass(kind, _SEARCHED)
            if searched[kind]:  # of a million numbers no names are made
                pending.append(((*path, key), part))


def _words(path: _Path) -> Iterator[str]:
    name, *keys = path
    yield str(name)
    for key in keys:
        yield f".{key.name}" if isinstance(key, _Child) else "" if key is _SAME else f"[{key!r}]"


def _parts(value: Any, known: set[int]) -> Iterable[tuple[Any, Any]]:
    kind = type(value)  # isinstance raises an error for a proxy of what is gone
    if issubclass(kind, (list, tuple, set, frozenset)):
        return enumerate(value)
    if issubclass(kind, dict):
        return value.items()
    if issubclass(kind, nn.Module):
        inner = [] if id(value) in known else value.named_children()
        return [(_Child(name), part) for name, part in inner]
    if issubclass(kind, partial):
        return [(_SAME, part) for part in (value.func, *value.args, *value.keywords.values())]
    return [(_SAME, value.__self__)] if issubclass(kind, MethodType) else []
