"""Injection of a spec into a network: the part of it that knows no host.

A host's folder says which module becomes which neuron; here neurons are swapped in place, weights
are parametrized, and everything is taken back.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import layer_quantizer, quantize_weights, remove_quantizer, weight_layers
from qsnn_plugins.spec import QuantSpec

__all__ = [
    "Conversion",
    "Convert",
    "InjectionReport",
    "LeftAlone",
    "LeftNeuron",
    "QuantizedWeight",
    "ReplacedNeuron",
    "eject_neurons",
    "inject_neurons",
]

_RECORD = "_qsnn_injection"
_HOSTS = ("spikingjelly", "snntorch")
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


@dataclass(frozen=True)
class Conversion:
    """What a host makes of a neuron, and in a few words what that changes beside the spec."""

    module: nn.Module
    note: str = ""


@dataclass(frozen=True)
class LeftAlone:
    """A host's word that a module is a neuron, and why it stays as it is."""

    why: str


# From a module, and the channels of its input where the spec needs them; None for no neuron.
Convert = Callable[[nn.Module, int | None], Conversion | LeftAlone | None]


@dataclass(frozen=True)
class ReplacedNeuron:
    """A neuron that was replaced; a shared one has several names."""

    names: tuple[str, ...]
    before: str
    after: str
    note: str = ""


@dataclass(frozen=True)
class LeftNeuron:
    """A neuron that was left alone, and why; a shared one has several names."""

    names: tuple[str, ...]
    kind: str
    why: str


@dataclass(frozen=True)
class QuantizedWeight:
    """A layer whose weight was quantized, and to how many bits."""

    name: str
    bits: int


@dataclass(frozen=True)
class InjectionReport:
    """What an injection did; a table when it is printed.

    Args:
        replaced: Neurons that were replaced.
        left: Neurons that were left alone.
        weights: Layers whose weights were quantized.

    Example:
        >>> print(InjectionReport((ReplacedNeuron(("0.sn",), "LIFNode", "QuantLIFNode"),)))
        replaced  0.sn  LIFNode -> QuantLIFNode
    """

    replaced: tuple[ReplacedNeuron, ...] = ()
    left: tuple[LeftNeuron, ...] = ()
    weights: tuple[QuantizedWeight, ...] = ()

    def __str__(self) -> str:
        """Return the table, one neuron or layer a line."""
        rows = [
            (
                "replaced",
                ", ".join(r.names),
                f"{r.before} -> {r.after}" + f" ({r.note})" * bool(r.note),
            )
            for r in self.replaced
        ]
        rows += [("left", ", ".join(r.names), f"{r.kind}: {r.why}") for r in self.left]
        rows += [("weight", r.name, f"{r.bits} bit" + "s" * (r.bits > 1)) for r in self.weights]
        widths = [max((len(row[i]) for row in rows), default=0) for i in (0, 1)]
        return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows)


@dataclass
class _Place:
    """Where a neuron stands: `parent._modules[key]`, by its full name."""

    parent: nn.Module
    key: str
    name: str


@dataclass
class _Swap:
    """A neuron with all its places, and what replaced it."""

    old: nn.Module
    places: list[_Place]
    new: nn.Module | None = None


@dataclass
class _Record:
    """What `eject_neurons` needs; it lives on the network, so that a copy can be ejected too."""

    swaps: list[_Swap]
    orders: list[tuple[nn.Module, list[str]]] = field(default_factory=list)


def inject_neurons(
    network: nn.Module,
    spec: QuantSpec,
    convert: Convert,
    example_input: Tensor | None = None,
    channel_dim: Callable[[nn.Module], int] = lambda _: 1,
) -> InjectionReport:
    """Replace a network's neurons and parametrize its weights in place, as a spec says.

    A module that stands in several places is replaced by one neuron in all of them. The new neuron
    has the old one's training mode, device and forward and backward hooks, whose handles stay
    valid. Where anything is refused, nothing is changed.

    Args:
        network: A network of one host.
        spec: How it is going to be quantized.
        convert: The host's word on a module: the neuron that replaces it, why it stays, or None
            where it is no neuron. It gets the channels of the module's input where the spec needs
            them, else None.
        example_input: Input of the network; needed where the spec masks channels or gives each a
            threshold. A copy of the network is run on it once to see the channels.
        channel_dim: The host's word on which dimension of a neuron's input holds the channels.

    Returns:
        What was replaced and what was left alone.

    Raises:
        ArgumentError: If there is no neuron to replace, the network is a neuron itself or was
            injected before, the channels cannot be told, or a weight cannot be quantized.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> def convert(module, channels):
        ...     return Conversion(nn.Tanh()) if isinstance(module, nn.ReLU) else None
        >>> print(inject_neurons(network, QuantSpec(), convert))
        replaced  1  ReLU -> Tanh
        >>> eject_neurons(network)[1]
        ReLU()
    """
    _check(network, spec, convert)
    channels = _Channels(network, spec, example_input, channel_dim)
    devices = _devices(network)
    swaps: list[_Swap] = []
    replaced, left = [], []
    for old, verdict, places in _neurons(network, convert, channels):
        names, kind = tuple(place.name for place in places), type(old).__name__
        if isinstance(verdict, LeftAlone):
            left.append(LeftNeuron(names, kind, verdict.why))
            continue
        new = verdict.module
        new.to(devices[id(old)]).train(old.training)
        for hooks in _HOOKS:
            setattr(new, hooks, getattr(old, hooks))  # the same objects: handles stay valid
        swaps.append(_Swap(old, places, new))
        replaced.append(ReplacedNeuron(names, kind, type(new).__name__, verdict.note))
    if not swaps:
        raise ArgumentError("network", type(network).__name__, _nothing_to_replace(network, left))
    layers: dict[str, nn.Module] = {**weight_layers(network)}
    orders = [(layer, list(layer._parameters)) for layer in layers.values()]
    weights = [
        QuantizedWeight(name, getattr(layer_quantizer(layers[name]), "bits", 32))
        for name in quantize_weights(network, spec.weight)
    ]
    for swap in swaps:
        for place in swap.places:
            place.parent._modules[place.key] = swap.new
    setattr(network, _RECORD, _Record(swaps, orders))
    if left:
        told = f"{len(left)} neurons were left alone: the report that injection returns says why"
        warnings.warn(told, stacklevel=3)
    return InjectionReport(tuple(replaced), tuple(left), tuple(weights))


def eject_neurons(network: nn.Module) -> nn.Module:
    """Undo `inject_neurons` in place: the old neurons, and plain float weights.

    Neurons and parameters are the objects that they were, in the order that they had, so that an
    optimizer stays valid. Weights keep what they learned since. The old neurons take the training
    mode of the new.

    Args:
        network: A network after `inject_neurons`, or a copy of one.

    Returns:
        The network.

    Raises:
        ArgumentError: If it was not injected, or a neuron was replaced by something else since.
    """
    record: _Record | None = getattr(network, _RECORD, None)
    if record is None:
        parts = [name for name, m in network.named_modules() if hasattr(m, _RECORD)]
        where = f": it was its part {parts[0]!r} that was injected" if parts else ""
        raise ArgumentError("network", type(network).__name__, f"an injected one{where}")
    for swap in record.swaps:
        for place in swap.places:
            if place.parent._modules.get(place.key) is not swap.new:
                allowed = "the network as it was injected: this neuron was replaced since"
                raise ArgumentError(place.name, place.parent._modules.get(place.key), allowed)
    for swap in record.swaps:
        assert swap.new is not None
        swap.old.train(swap.new.training)
        for place in swap.places:
            place.parent._modules[place.key] = swap.old
    for layer, order in record.orders:
        if layer_quantizer(layer) is not None:
            remove_quantizer(layer)
        # torch registers `weight` anew, behind `bias`
        for name in order:
            layer._parameters[name] = layer._parameters.pop(name)
    delattr(network, _RECORD)
    return network


def _check(network: nn.Module, spec: QuantSpec, convert: Convert) -> None:
    if not isinstance(spec, QuantSpec):
        raise ArgumentError("spec", spec, "a QuantSpec, such as presets.imsnn()")
    if not isinstance(network, nn.Module):
        raise ArgumentError("network", network, "a torch.nn.Module")
    for name, module in network.named_modules():
        if hasattr(module, _RECORD):
            kind = type(network).__name__
            where = f", its part {name!r}," * bool(name)
            raise ArgumentError(
                "network", kind, f"one{where} that was not injected yet: eject first"
            )
    is_neuron = True
    with suppress(ArgumentError):  # a neuron that the spec refuses is one too
        is_neuron = convert(network, None) is not None
    if is_neuron:
        allowed = "a network that holds neurons: a neuron alone cannot be replaced in place"
        raise ArgumentError("network", type(network).__name__, allowed)


def _neurons(
    network: nn.Module, convert: Convert, channels: _Channels
) -> Iterator[tuple[nn.Module, Conversion | LeftAlone, list[_Place]]]:
    """Each distinct neuron with its places; parts of neurons are not looked at."""
    found: dict[int, tuple[nn.Module, Conversion | LeftAlone, list[_Place]]] = {}
    inside: set[int] = set()
    for prefix, parent in network.named_modules():
        if id(parent) in inside:
            continue
        for key, child in parent._modules.items():
            if child is None:
                continue
            name = f"{prefix}.{key}" if prefix else key
            if id(child) not in found:
                try:
                    verdict = convert(child, channels.of(child))
                except ArgumentError as error:
                    raise channels.explain(name, child, error) from error
                if verdict is None:
                    continue
                found[id(child)] = (child, verdict, [])
                inside.update(map(id, child.modules()))
            found[id(child)][2].append(_Place(parent, key, name))
    yield from found.values()


class _Channels:
    """Channels that each module of a network sees, from one run of a copy of it."""

    def __init__(
        self,
        network: nn.Module,
        spec: QuantSpec,
        example_input: Tensor | None,
        channel_dim: Callable[[nn.Module], int],
    ) -> None:
        self.are_needed = spec.pruning.channel_threshold is not None or (
            spec.threshold.learned and spec.threshold.per == "channel"
        )
        self.channel_dim = channel_dim
        self.shapes: dict[int, set[torch.Size]] = {}
        if self.are_needed and example_input is None:
            allowed = "an input of the network: the spec needs to know the channels of each neuron"
            raise ArgumentError("example_input", None, allowed)
        if self.are_needed:
            self._probe(network, example_input)

    def _probe(self, network: nn.Module, example_input: Any) -> None:
        try:
            twin = copy.deepcopy(network)
        except RuntimeError as error:
            allowed = f"one whose states were reset: it cannot be copied ({error})"
            raise ArgumentError("network", type(network).__name__, allowed) from error

        def watch(original: nn.Module) -> Callable[[nn.Module, Any], None]:
            def record(module: nn.Module, inputs: Any) -> None:
                if inputs and isinstance(inputs[0], Tensor):
                    self.shapes.setdefault(id(original), set()).add(inputs[0].shape)

            return record

        for original, copied in zip(network.modules(), twin.modules(), strict=True):
            copied.register_forward_pre_hook(watch(original))
        with torch.no_grad():
            twin.eval()(example_input)

    def of(self, module: nn.Module) -> int | None:
        if not self.are_needed:
            return None
        dim = self.channel_dim(module)
        seen = {shape[dim] for shape in self.shapes.get(id(module), ()) if len(shape) > dim}
        return seen.pop() if len(seen) == 1 else None

    def explain(self, name: str, module: nn.Module, error: ArgumentError) -> ArgumentError:
        """Return the error with the neuron's name, and with what it saw if that is why."""
        if not self.are_needed or error.argument != "channels":
            return ArgumentError(f"{name}.{error.argument}", error.value, error.allowed)
        shapes = sorted(map(tuple, self.shapes.get(id(module), ())))
        allowed = "a network in which each neuron runs, and always on as many channels"
        return ArgumentError(f"{name} (inputs)", shapes, allowed)


def _devices(network: nn.Module) -> dict[int, torch.device]:
    """Device of each module: of its own tensors, or else of those defined before it."""
    devices: dict[int, torch.device] = {}
    current = next((p.device for p in network.parameters()), torch.device("cpu"))
    for module in network.modules():
        own = next((t.device for t in (*module.parameters(False), *module.buffers(False))), None)
        current = own or current
        devices[id(module)] = current
    return devices


def _nothing_to_replace(network: nn.Module, left: list[LeftNeuron]) -> str:
    allowed = "a network with neurons that can be replaced"
    if left:
        first = left[0]
        return f"{allowed}: {first.names[0]} ({first.kind}) is left alone, {first.why}"
    for name, module in network.named_modules():
        for kind in type(module).__mro__:
            host = kind.__module__.partition(".")[0]
            if host in _HOSTS:
                return (
                    f"{allowed} by this host: {name or 'it'} is {host}'s {type(module).__name__}, "
                    f"see qsnn_plugins.{host}.inject"
                )
    return f"{allowed}; nn.quantize_weights quantizes weights alone"
