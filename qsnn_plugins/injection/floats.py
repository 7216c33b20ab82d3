"""The matrix parameters of a network that stay float, with reasons."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import type_before_parametrizations

from qsnn_plugins.injection.hosts import LeftAlone
from qsnn_plugins.injection.overrides import LayerSpecs
from qsnn_plugins.injection.report import FloatParameter
from qsnn_plugins.nn import ChannelGate, end_layers, layer_quantizer, weight_layers
from qsnn_plugins.spec import QuantSpec

__all__ = ["float_parameters", "matrices"]

_WRITTEN = "its max_norm writes to the table, or its gradient is sparse"
_IN_KERNEL = "it is multiplied inside torch's own kernel"
_REASONS: dict[type[nn.Module], str] = {
    nn.Embedding: _WRITTEN,
    nn.EmbeddingBag: _WRITTEN,
    nn.MultiheadAttention: _IN_KERNEL,
    nn.RNNBase: _IN_KERNEL,
    nn.RNNCellBase: _IN_KERNEL,
}
_OTHERS = (
    "only weights of torch's Conv, ConvTranspose, Linear, Bilinear and Embedding are quantized"
)


def matrices(module: nn.Module) -> dict[str, Tensor]:
    """A module's own floating point parameters of two or more dimensions, by name.

    Example:
        >>> list(matrices(nn.Bilinear(2, 2, 2)))
        ['weight']
    """
    return {
        name: parameter
        for name, parameter in module._parameters.items()
        if parameter is not None
        and not is_lazy(parameter)
        and parameter.dim() > 1
        and parameter.is_floating_point()
    }


def float_parameters(
    network: nn.Module,
    specs: LayerSpecs,
    chosen: Mapping[int, QuantSpec | LeftAlone],
    neurons: Collection[int],
) -> tuple[FloatParameter, ...]:
    """List the matrix parameters of a quantized network that stay float.

    `chosen` is by the ids of neurons and layers, `neurons` has those of all parts of neurons.

    Example:
        >>> network = nn.Sequential(nn.GRUCell(2, 2), nn.Linear(2, 2))
        >>> for parameter in float_parameters(network, LayerSpecs("imsnn", {"1": None}), {}, ()):
        ...     print(parameter.names, parameter.why)
        ('0.weight_ih',) it is multiplied inside torch's own kernel
        ('0.weight_hh',) it is multiplied inside torch's own kernel
        ('1.weight',) override
    """
    layers = weight_layers(network)
    outer = {id(layers[name]) for name in end_layers(network)}
    inside_quantizers = {
        id(part)
        for layer in layers.values()
        if layer_quantizer(layer) is not None
        for part in layer.parametrizations.modules()  # type: ignore[union-attr]
    }
    found: dict[int, FloatParameter] = {}
    for prefix, module in network.named_modules(remove_duplicate=False):
        if id(module) in inside_quantizers:
            continue
        for key, parameter in matrices(module).items():
            name = f"{prefix}.{key}" if prefix else key
            if id(parameter) in found:
                known = found[id(parameter)]
                found[id(parameter)] = replace(known, names=(*known.names, name))
                continue
            if id(module) in neurons and parameter.numel() == max(parameter.shape):
                continue  # a threshold or leak of each channel, shaped to be broadcast
            choice = chosen.get(id(module)) or specs.of(prefix)
            asked = _asked(choice, id(module) in outer)
            asked = "the predictor of a gate" if isinstance(module, ChannelGate) else asked
            found[id(parameter)] = FloatParameter(
                (name,),
                type_before_parametrizations(module).__name__,
                parameter.numel(),
                8 * parameter.element_size(),
                asked or _reason(module, id(module) in neurons),
                bool(asked),
            )
    return tuple(found.values())


def _asked(choice: QuantSpec | LeftAlone | None, is_outer: bool) -> str:
    """Why the caller wants a module's weights to stay float; nothing where he does not."""
    if choice is None:
        return "override"
    if isinstance(choice, LeftAlone):
        return choice.why if choice.asked else ""
    if choice.weight.kind == "float":
        return "weight.kind is float"
    if is_outer and choice.weight.first_last == "float":
        return "weight.first_last is float"
    return ""


def _reason(module: nn.Module, is_in_neuron: bool) -> str:
    if is_in_neuron:
        return "a neuron's own parameter"
    return next((why for kind, why in _REASONS.items() if isinstance(module, kind)), _OTHERS)
