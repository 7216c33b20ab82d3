"""New neurons in the place of a host's: their specs, levels and channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.injection.hosts import Conversion, LeftAlone
from qsnn_plugins.injection.neurons import Neuron, input_shapes, module_devices
from qsnn_plugins.injection.report import LeftNeuron, ReplacedNeuron
from qsnn_plugins.spec import QuantSpec

__all__ = ["convert_neurons"]


def convert_neurons(
    network: nn.Module,
    neurons: list[Neuron],
    chosen: Mapping[int, QuantSpec | LeftAlone],
    example_input: Tensor | None,
    keep_surrogate: bool,
    absolute_levels: bool,
    fixed: nn.Module | None,
) -> tuple[list[ReplacedNeuron], list[LeftNeuron]]:
    """Have the hosts build the new neurons, which are not put into the network yet.

    The threshold of the neuron `fixed` does not learn.
    """
    specs = [chosen[id(neuron.module)] for neuron in neurons]
    needs_channels = any(isinstance(spec, QuantSpec) and spec.needs_channels for spec in specs)
    shapes = input_shapes(network, example_input) if needs_channels else {}
    devices = module_devices(network)
    replaced, left = [], []
    for neuron in neurons:
        result: QuantSpec | Conversion | LeftAlone = chosen[id(neuron.module)]
        levels, is_fixed = "", neuron.module is fixed
        if isinstance(result, QuantSpec):
            if not absolute_levels:
                result, levels = _in_units_of_threshold(neuron, result)
            seen = shapes.get(id(neuron.module))
            result = _convert(neuron, result, seen, keep_surrogate, is_fixed)
        if isinstance(result, LeftAlone):
            bits = _membrane_bits(neuron.module)
            left.append(LeftNeuron(neuron.names, neuron.kind, result.why, bits, result.asked))
        else:
            neuron.prepare(result.module, devices[id(neuron.module)])
            after, bits = type(result.module).__name__, _membrane_bits(result.module)
            fixes = "threshold fixed: first_layer" * is_fixed
            channels = _channels_note(neuron, result.module)
            note = ", ".join(filter(None, [result.note, levels, fixes, channels]))
            replaced.append(ReplacedNeuron(neuron.names, neuron.kind, after, bits, note))
    return replaced, left


def _in_units_of_threshold(neuron: Neuron, spec: QuantSpec) -> tuple[QuantSpec, str]:
    """A spec whose levels are times a neuron's first threshold, and what the report says of it."""
    threshold = neuron.one_threshold
    membrane = spec.membrane.in_units_of(threshold or 2.0)
    if membrane == spec.membrane:
        return spec, ""
    if threshold is None:
        return spec, "levels are absolute: it has no one finite threshold"
    return replace(spec, membrane=membrane), f"levels are times its threshold, {threshold:g}"


def _convert(
    neuron: Neuron,
    spec: QuantSpec,
    shapes: set[tuple[int, ...]] | None,
    keep_surrogate: bool,
    is_fixed: bool,
) -> Conversion | LeftAlone:
    """Ask a host for a new neuron; an error names the old one."""
    channels = None
    if shapes is not None and spec.needs_channels:
        if not shapes:
            return LeftAlone("its channels are not known: it never runs on example_input")
        dim = neuron.host.channel_dim(neuron.module)
        sizes = {shape[dim] for shape in shapes if len(shape) > dim}
        channels = sizes.pop() if len(sizes) == 1 else None
    try:
        return neuron.host.convert(neuron.module, spec, channels, keep_surrogate, is_fixed)
    except ArgumentError as error:
        name = neuron.names[0]
        if keep_surrogate and error.argument in ("surrogate_function", "spike_grad"):
            allowed = f"False: {name} cannot keep it ({error})"
            raise ArgumentError("keep_surrogate", True, allowed) from error
        if shapes is None or error.argument != "channels":
            raise ArgumentError(f"{name}.{error.argument}", error.value, error.allowed) from error
        allowed = "a network in which each neuron runs, and always on as many channels"
        raise ArgumentError(f"{name} (inputs)", sorted(shapes), allowed) from error


def _channels_note(neuron: Neuron, new: nn.Module) -> str:
    """Where a neuron's channels were seen: tokens [T, N, L, C] have them elsewhere than maps."""
    channels = getattr(new, "channels", None)
    dim = neuron.host.channel_dim(neuron.module)
    return "" if channels is None else f"{channels} channels along dimension {dim}"


def _membrane_bits(neuron: nn.Module) -> int:
    spec = getattr(neuron, "quant_spec", None)
    bits = 32 if spec is None else spec.membrane.storage_bits
    return getattr(neuron, "storage_bits", bits)  # a delayed reset may take a further code
