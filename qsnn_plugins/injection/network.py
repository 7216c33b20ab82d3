"""`inject` quantizes a network in place, and `eject` undoes it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError, QSNNWarning
from qsnn_plugins.functional.threshold import keep_positive
from qsnn_plugins.injection.conversion import convert_neurons
from qsnn_plugins.injection.floats import float_parameters, matrices
from qsnn_plugins.injection.gates import NO_GATE, place_gates
from qsnn_plugins.injection.hosts import HostAdapter, LeftAlone, find_hosts
from qsnn_plugins.injection.limits import SumPlace, find_sums
from qsnn_plugins.injection.neurons import (
    Neuron,
    find_neurons,
    module_names,
    reset_states,
)
from qsnn_plugins.injection.overrides import LayerSpecs
from qsnn_plugins.injection.references import hidden_neurons
from qsnn_plugins.injection.report import (
    GatedLayer,
    InjectionReport,
    LeftNeuron,
    QuantizedWeight,
)
from qsnn_plugins.injection.wiring import wiring
from qsnn_plugins.nn import (
    ChannelGate,
    bake_weights,
    end_layers,
    layer_quantizer,
    quantize_weights,
    remove_quantizer,
    weight_layers,
    weight_of,
)
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spec.checks import boolean

__all__ = ["FilterFn", "SpecLike", "eject", "inject", "inject_hosts"]

# What `presets.resolve` makes a spec of.
SpecLike: TypeAlias = QuantSpec | str | Mapping[str, Any]
FilterFn: TypeAlias = Callable[[str, nn.Module], bool]

_RECORD = "_qsnn_injection"


@dataclass
class _Record:
    """What `eject` needs; it lives on the network, so that a copy can be ejected too."""

    neurons: list[Neuron]
    layers: list[nn.Module]  # those that were quantized
    sums: list[SumPlace]
    gates: list[ChannelGate]


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
    """Quantize a network of SpikingJelly, snnTorch or both in place: its neurons and its weights.

    A new neuron takes over leak, threshold and reset from the old one (learned parameters are the
    same objects), as well as the host's own options, training mode, device and hooks, whose handles
    stay valid. Its state starts at rest. Its surrogate function is that of the spec, unless
    `keep_surrogate` is set. Neurons of other classes, including subclasses of the supported ones,
    are left alone, because anything they do besides charging, firing and resetting would be lost. A
    module that is used in several places is replaced by one neuron in all of them. If an error is
    raised, the network is not changed.

    The levels of a spec are for a neuron with threshold 1. Each neuron multiplies them by its own
    initial threshold, as the report says, unless `absolute_levels` is set. If a neuron has no
    finite threshold, or several, the levels are not changed.

    With `spike.limit_sums`, the outputs of SEW blocks (modules with ADD, AND or IAND in `cnf` or
    `connect_f`) and the attention matrices of SpikingJelly's `SpikingSelfAttention` are clipped to
    the bits of the spikes of the neurons inside them.

    Build the optimizer after `inject` if the spec adds parameters, such as learned thresholds. The
    first and the last layer (`first_last` of the weights) are those of the whole network, see
    `nn.end_layers`; each of them uses the option of its own spec. The first neuron is the first in
    the order of definition, see `ThresholdSpec.first_layer`.

    Args:
        network: A network with neurons of a host.
        spec: How to quantize it: a `QuantSpec`, the name of a preset, or a mapping, see
            `presets.resolve`.
        overrides: Other specs for modules that match a glob pattern, such as `{"layer1.*": "qsnn",
            "head": None}`; None leaves their neurons and weights alone. Patterns are compared with
            full module names and also cover all submodules; the most specific pattern counts, see
            `LayerSpecs`.
        filter_fn: Called with name and module of each neuron and each layer of `nn.weight_layers`;
            those for which it returns False are left alone. It is not called for containers.
        example_input: Input of the network, needed if a spec has channel gates or one threshold per
            channel; copies of the network are run on it.
        keep_surrogate: Whether the neurons keep their surrogate functions.
        absolute_levels: Whether levels are used as they are, and not multiplied by each neuron's
            initial threshold.

    Returns:
        A report of what was replaced, left alone, quantized and limited, and of all matrix
        parameters that stay float. Print it to see a table.

    Raises:
        ArgumentError: If there is nothing to replace, the network was already injected or is itself
            a neuron, a spec does not fit, a pattern matches nothing, or the network does not take
            `example_input`.

    Example:
        >>> import snntorch
        >>> network = nn.Sequential(nn.Linear(4, 4), snntorch.Leaky(beta=0.5), nn.Linear(4, 2))
        >>> print(inject(network, "imsnn", overrides={"2": None}))
                  name      module               bits
        replaced  1         Leaky -> QuantLeaky     2  surrogate atan -> triangle
        weight    0         Linear                  4  power_of_two
        float     2.weight  Linear                 32  8 weights: override
    """
    return inject_hosts(
        None,
        network,
        spec,
        overrides,
        filter_fn,
        example_input,
        keep_surrogate,
        absolute_levels,
    )


def inject_hosts(
    hosts: Sequence[HostAdapter] | None,
    network: nn.Module,
    spec: SpecLike,
    overrides: Mapping[str, SpecLike | None] | None = None,
    filter_fn: FilterFn | None = None,
    example_input: Tensor | None = None,
    keep_surrogate: bool = False,
    absolute_levels: bool = False,
) -> InjectionReport:
    """Quantize like `inject`, but only the neurons of the given hosts, or of all if None.

    Warnings name the line that called the caller of this function.
    """
    _check_network(network)
    if filter_fn is not None and not callable(filter_fn):
        raise ArgumentError("filter_fn", filter_fn, "a function of a name and a module, or None")
    boolean("keep_surrogate", keep_surrogate)
    boolean("absolute_levels", absolute_levels)
    found = find_hosts(network)
    hosts = found if hosts is None else hosts
    neurons = find_neurons(network, [*hosts, *(h for h in found if h not in hosts)])
    layers: dict[str, nn.Module] = {**weight_layers(network)}
    specs = LayerSpecs(spec, overrides)
    specs.check(_names_with_weights(network, neurons, layers.values()))
    chosen, fixed = _choose_all(network, hosts, neurons, layers, specs, filter_fn)
    specs_of_neurons = [chosen[id(neuron.module)] for neuron in neurons]
    has_gates = any(isinstance(s, QuantSpec) and s.pruning.gates for s in specs_of_neurons)
    found_wiring = wiring(network, neurons, example_input) if has_gates else None
    replaced, left = convert_neurons(
        network, neurons, chosen, example_input, keep_surrogate, absolute_levels, fixed
    )
    if not replaced and not any(row.asked for row in left):
        raise ArgumentError("network", type(network).__name__, _nothing_to_replace(left))
    limited, sums, unlimited = find_sums(network, hosts, neurons, chosen)
    weights, notes = _quantize_layers(network, layers, chosen)
    swapped = [neuron for neuron in neurons if neuron.new is not None]
    for neuron in swapped:
        reset_states(neuron.module)  # with its graph, no copy could be made of the network
        _put(network, neuron.names, neuron.new)
    for place in sums:
        place.put()
    gates, gated = list[ChannelGate](), tuple[GatedLayer, ...]()
    if found_wiring is not None:
        gates, gated = place_gates(network, neurons, chosen, found_wiring)
        if not gates:
            notes += (f"{NO_GATE}; `gates` of the report says why",)
    quantized = [layers[row.name] for row in weights]
    setattr(network, _RECORD, _Record(swapped, quantized, sums, gates))
    for host in hosts:
        host.after_swap(network)
    notes += hidden_neurons(network, found, {id(n.module): n.names[0] for n in swapped})
    parts = {id(part) for neuron in neurons for part in (neuron.new or neuron.module).modules()}
    floats = float_parameters(network, specs, chosen, parts)
    report = InjectionReport(
        tuple(replaced),
        tuple(left),
        tuple(weights),
        floats,
        tuple(limited),
        gated,
        notes + unlimited,
    )
    try:
        _warn(report)
    except Warning:  # where warnings are errors
        eject(network)
        raise
    return report


def eject(network: nn.Module, baked: bool = False) -> nn.Module:
    """Undo `inject` in place: the hosts' own neurons, and plain float weights.

    Neurons and parameters are the same objects as before, in the same order, so an optimizer stays
    valid. Weights keep what they have learned. The old neurons get the training mode, attributes
    that are the user's and, in SpikingJelly, step mode and `store_v_seq` of the new ones.

    Args:
        network: A network after `inject`, or a copy of one.
        baked: Whether the plain weights get the quantized values, as in `nn.bake_weights`, and the
            old neurons the thresholds that the new ones have learned, and what a loaded state has
            set in these; an exporter of the host, for example to NIR, then sees the trained
            network. Otherwise learned thresholds are lost, with a warning.

    Returns:
        The network.

    Raises:
        ArgumentError: If it was not injected, if a neuron has been replaced by something else
            since, or if one that is baked has learned more thresholds than the host's neuron holds.

    Example:
        >>> import snntorch
        >>> network = nn.Sequential(nn.Linear(4, 2), snntorch.Leaky(beta=0.5))
        >>> _ = inject(network, "imsnn")
        >>> type(eject(network)[1]).__name__
        'Leaky'
    """
    if not isinstance(network, nn.Module):
        raise ArgumentError("network", network, "a torch.nn.Module")
    boolean("baked", baked)
    record: _Record | None = getattr(network, _RECORD, None)
    if record is None:
        parts = [name for name, m in network.named_modules() if hasattr(m, _RECORD)]
        where = f": it was its part {parts[0]!r} that was injected" if parts else ""
        raise ArgumentError("network", type(network).__name__, f"an injected one{where}")
    modules = dict(network.named_modules(remove_duplicate=False))
    for neuron in record.neurons:
        for name in neuron.names:
            if modules.get(name) is not neuron.new:
                allowed = "the network as it was injected: this neuron was replaced since"
                raise ArgumentError(name, modules.get(name), allowed)
    learned = _learned_thresholds(record.neurons)
    if baked:
        _check_held(learned)
        bake_weights(network)
    elif learned:
        lost = f"the learned thresholds of {_count(len(learned), 'neuron')} are lost"
        warnings.warn(f"{lost}: eject(network, baked=True) keeps them", QSNNWarning, stacklevel=2)
    for gate in record.gates:
        gate.detach()
    for neuron in record.neurons:
        _follow(neuron.module, neuron.new)
        neuron.hand_back(baked)
        if baked and neuron.names[0] in learned:
            _, threshold = learned[neuron.names[0]]
            neuron.host.set_threshold(neuron.module, threshold)
        _put(network, neuron.names, neuron.module)
    for layer in record.layers:
        remove_quantizer(layer)
    for place in record.sums:
        place.remove()
    delattr(network, _RECORD)
    for host in {neuron.host.name: neuron.host for neuron in record.neurons}.values():
        host.after_swap(network)
    for note in hidden_neurons(network, [], {id(n.new): n.names[0] for n in record.neurons}):
        warnings.warn(note, QSNNWarning, stacklevel=2)
    return network


def _check_network(network: nn.Module) -> None:
    if not isinstance(network, nn.Module):
        raise ArgumentError("network", network, "a torch.nn.Module")
    for name, module in network.named_modules():
        if hasattr(module, _RECORD):
            where = f", its part {name!r}," * bool(name)
            allowed = f"one{where} that was not injected yet: eject first"
            raise ArgumentError("network", type(network).__name__, allowed)


def _follow(old: nn.Module, new: nn.Module) -> None:
    """Give an old neuron the mode, device and dtype that the new one has been brought to."""
    old.train(new.training)
    floats = (t for t in (*new.parameters(), *new.buffers()) if t.is_floating_point())
    if (like := next(floats, None)) is not None:
        old.to(like.device, like.dtype)


def _learned_thresholds(neurons: Iterable[Neuron]) -> dict[str, tuple[Neuron, Tensor]]:
    """Neurons by name whose learned threshold the old ones do not have, and it as it is used."""
    learned: dict[str, tuple[Neuron, Tensor]] = {}
    for neuron in neurons:
        old, new = neuron.host.threshold(neuron.module), neuron.host.threshold(neuron.new)
        if not isinstance(new, nn.Parameter) or new is old or new.is_meta:
            continue
        used = keep_positive(new.detach())
        used = used.reshape(()) if used.numel() == 1 else used
        if bool((used != torch.as_tensor(old).to(used)).any()):
            learned[neuron.names[0]] = neuron, used
    return learned


def _check_held(learned: Mapping[str, tuple[Neuron, Tensor]]) -> None:
    for name, (neuron, threshold) in learned.items():
        old = torch.as_tensor(neuron.host.threshold(neuron.module))
        if threshold.dim() and threshold.shape != old.shape:
            kind = type(neuron.module).__name__
            allowed = f"False: {name} learned {threshold.numel()} thresholds, a {kind} holds one"
            raise ArgumentError("baked", True, allowed)


def _put(network: nn.Module, names: tuple[str, ...], module: nn.Module) -> None:
    for name in names:
        network.set_submodule(name, module)


def _names_with_weights(
    network: nn.Module, neurons: Iterable[Neuron], layers: Iterable[nn.Module]
) -> list[str]:
    """Names of all that a pattern may cover: neurons, layers, and modules that hold a matrix."""
    ids = {id(module) for module in (*(neuron.module for neuron in neurons), *layers)}
    modules = network.named_modules(remove_duplicate=False)
    return [name for name, module in modules if id(module) in ids or matrices(module)]


def _choose_all(
    network: nn.Module,
    hosts: Sequence[HostAdapter],
    neurons: Sequence[Neuron],
    layers: Mapping[str, nn.Module],
    specs: LayerSpecs,
    filter_fn: FilterFn | None,
) -> tuple[dict[int, QuantSpec | LeftAlone], nn.Module | None]:
    """Specs of layers and neurons by id, and the first neuron if its threshold stays fixed."""
    names = module_names(network)
    chosen = {
        id(module): _choose(module, names[id(module)], specs, filter_fn)
        for module in (*layers.values(), *(neuron.module for neuron in neurons))
    }
    first = chosen[id(neurons[0].module)] if neurons else None
    fixed = None
    if isinstance(first, QuantSpec) and first.threshold.first_layer == "fixed":
        fixed = neurons[0].module
        chosen[id(fixed)] = first.of_first_neuron()
    for neuron in neurons:
        if neuron.host not in hosts and isinstance(chosen[id(neuron.module)], QuantSpec):
            why = f"a neuron of {neuron.host.name}: qsnn_plugins.inject takes both"
            chosen[id(neuron.module)] = LeftAlone(why)
    return chosen, fixed


def _choose(
    module: nn.Module, names: tuple[str, ...], specs: LayerSpecs, filter_fn: FilterFn | None
) -> QuantSpec | LeftAlone:
    """A module's spec, or that the caller wants it left alone."""
    spec = specs.shared(names)
    if spec is None:
        return LeftAlone("override", asked=True)
    if filter_fn is None:
        return spec
    for name in names:
        is_quantized: object = filter_fn(name, module)
        if is_quantized is None:  # a forgotten return would leave the whole network alone
            raise ArgumentError("filter_fn", None, f"True or False for {name!r}")
        if not is_quantized:
            return LeftAlone("filter_fn", asked=True)
    return spec


def _quantize_layers(
    network: nn.Module, layers: Mapping[str, nn.Module], chosen: Mapping[int, QuantSpec | LeftAlone]
) -> tuple[list[QuantizedWeight], tuple[str, ...]]:
    """Quantize weights; what was done to each, and what became of kinds that no layer has."""
    kinds = {name: type(layer).__name__ for name, layer in layers.items()}
    specs = {
        name: choice.weight
        for name, layer in layers.items()
        if isinstance(choice := chosen[id(layer)], QuantSpec)
    }
    ends, first_names = end_layers(network), dict[int, str]()
    rows, missing = [], {str(spec.kind): spec for spec in specs.values() if spec.kind != "float"}
    for name in quantize_weights(network, specs):
        quantizer: Any = layer_quantizer(layers[name])
        spec, note = specs[name], str(specs[name].kind)
        if name in ends and spec.first_last == "eight_bit":
            note = f"uniform, being first or last; others {note}"
        else:
            missing.pop(spec.kind, None)
        first = first_names.setdefault(id(weight_of(layers[name])), name)
        if first != name:
            note += f"; its weight is that of {first}"
        rows.append(QuantizedWeight(name, kinds[name], quantizer.bits, note))
    notes = (
        f"no weight is {spec.kind}: each layer of that spec is first or last, "
        f"and its weight.first_last is {spec.first_last}"
        for spec in missing.values()
    )
    return rows, tuple(notes)


def _nothing_to_replace(left: list[LeftNeuron]) -> str:
    allowed = "a network with neurons that can be replaced"
    if left:
        return f"{allowed}: {left[0].names[0]} ({left[0].kind}) is left alone, {left[0].why}"
    return f"{allowed}; nn.quantize_weights quantizes weights alone"


def _warn(report: InjectionReport) -> None:
    left = [row for row in report.left if not row.asked]
    floats = [row for row in report.floats if not row.asked]
    messages = [*report.notes]
    if left:
        messages.append(f"{_count(len(left), 'neuron')} left alone: `left` of the report says why")
    if floats:
        weights = _count(sum(row.count for row in floats), "weight")
        what = f"{_count(len(floats), 'matrix parameter')} with {weights} left float"
        messages.append(f"{what}: `floats` of the report says which and why")
    for message in messages:
        # past this function, `inject_hosts` and its caller
        warnings.warn(message, QSNNWarning, stacklevel=4)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
