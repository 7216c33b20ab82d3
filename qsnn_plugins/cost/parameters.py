"""Permanently stored parameters by role and width: weights, and those that papers forget."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.cost.conventions import Role
from qsnn_plugins.cost.layers import FLOAT_BITS, ParameterCost, layer_kind
from qsnn_plugins.cost.neurons import all_neurons
from qsnn_plugins.nn import (
    WeightQuantizer,
    end_layers,
    layer_quantizer,
    membrane_quantizer,
    output_first,
    stored_quantizer,
    weight_layers,
    weight_quantizer,
)
from qsnn_plugins.spec import QuantSpec, WeightSpec

__all__ = ["stored_parameters", "weight_quantizers"]

_BATCH_NORM = nn.modules.batchnorm._NormBase
_OTHER_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_THRESHOLDS = ("v_threshold", "threshold")  # SpikingJelly's name, and snnTorch's


def stored_parameters(
    network: nn.Module,
    spec: QuantSpec | None,
    channels: Mapping[str, int],
    quantizers: Mapping[str, WeightQuantizer],
) -> tuple[ParameterCost, ...]:
    """List the permanently stored parameters of a network, in the order of definition.

    Shared parameters are listed once. Any parameter with two or more dimensions is a weight,
    whatever its module. Batch normalization stores two values per channel, into which the running
    mean and variance are folded.

    Args:
        network: Any network.
        spec: Spec with which the network would be quantized, or None to count it as it is.
        channels: Channels of each layer of neurons, by name.
        quantizers: Result of `weight_quantizers` for both.
    """
    neurons = all_neurons(network)
    first = next(iter(neurons), None)
    seen: set[int] = set()
    rows: list[ParameterCost] = []
    for name, module in network.named_modules():
        if "parametrizations" in name.split("."):
            continue
        if isinstance(module, _BATCH_NORM):
            rows += _batch_norm(name, module, seen)
        elif name in neurons:
            own = spec.of_first_neuron() if spec and name == first else spec
            rows += _neuron(name, module, own, channels.get(name, 1), seen)
        rows += _own(name, module, name in neurons, quantizers.get(name), seen)
    return tuple(rows)


def weight_quantizers(network: nn.Module, spec: QuantSpec | None) -> dict[str, WeightQuantizer]:
    """Find the quantizers of all weights that are, or would be, quantized, by layer."""
    if spec is None:
        found = {name: stored_quantizer(module) for name, module in network.named_modules()}
    else:
        ends = end_layers(network)
        found = {
            name: _new_quantizer(output_first(layer).shape, spec.weight, name in ends)
            for name, layer in weight_layers(network).items()
        }
    return {name: quantizer for name, quantizer in found.items() if quantizer is not None}


def _new_quantizer(
    shape: torch.Size, spec: WeightSpec, is_first_last: bool
) -> WeightQuantizer | None:
    # of ours, how many scales there are depends on the number of channels alone
    shape = shape if spec.kind == "custom" else torch.Size((shape[0], 1))
    like = torch.linspace(-1, 1, shape.numel()).reshape(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantizer: Any = weight_quantizer(like, spec, is_first_last)
    return None if isinstance(quantizer, nn.Identity) else quantizer


def _batch_norm(name: str, module: Any, seen: set[int]) -> Iterator[ParameterCost]:
    seen.update(map(id, module.parameters()))
    if module.affine or module.track_running_stats:
        count = 2 * module.num_features
        yield ParameterCost(name, "normalization", count, FLOAT_BITS, "normalization")


def _neuron(
    name: str, neuron: nn.Module, spec: QuantSpec | None, channels: int, seen: set[int]
) -> Iterator[ParameterCost]:
    """The scale of the membranes and, where a spec replaces the neuron, its learned thresholds."""
    membrane = getattr(neuron, "membrane", None)
    if spec is None:
        scale = getattr(membrane, "scale", None)
        if id(scale) not in seen:
            seen.add(id(scale))
            yield from _membrane_scale(name, scale)
        return
    if isinstance(membrane, nn.Module):
        seen.update(map(id, membrane.parameters()))
    seen.update(id(neuron._parameters.get(key)) for key in _THRESHOLDS)
    yield from _membrane_scale(name, getattr(membrane_quantizer(spec.membrane), "scale", None))
    if spec.threshold.learned:
        count = channels if spec.threshold.per == "channel" else 1
        yield ParameterCost(name, "thresholds", count, FLOAT_BITS, "neuron")


def _membrane_scale(name: str, scale: object) -> Iterator[ParameterCost]:
    if isinstance(scale, Tensor):
        yield ParameterCost(name, "scales", scale.numel(), FLOAT_BITS, "neuron")


def _own(
    name: str, module: nn.Module, is_neuron: bool, quantizer: WeightQuantizer | None, seen: set[int]
) -> Iterator[ParameterCost]:
    """What a module stores itself, one row per role."""
    kind: str = "neuron" if is_neuron else layer_kind(module) or "other"
    if isinstance(module, _OTHER_NORMS):
        kind = "normalization"
    counts: Counter[Role] = Counter()
    for key, parameter in _own_parameters(module):
        if id(parameter) in seen:
            continue
        seen.add(id(parameter))
        if key == "weight" and quantizer is not None:
            yield ParameterCost(name, "weights", parameter.numel(), quantizer.bits, kind)
            if quantizer.scale_count:
                bits = quantizer.scale_bits
                yield ParameterCost(name, "scales", quantizer.scale_count, bits, kind)
        else:
            counts[_role(key, parameter, kind)] += parameter.numel()
    # scales are counted, whatever else a quantizer learns, and membranes may share them
    seen.update(map(id, getattr(module, "parametrizations", nn.Module()).parameters()))
    for role, count in counts.items():
        yield ParameterCost(name, role, count, FLOAT_BITS, kind)


def _own_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for key, parametrization in getattr(module, "parametrizations", {}).items():
        is_quantized = key == "weight" and layer_quantizer(module) is not None
        originals = [parametrization.original] if is_quantized else parametrization.parameters()
        yield from ((key, parameter) for parameter in originals)
    yield from ((key, p) for key, p in module._parameters.items() if p is not None)


def _role(key: str, parameter: Tensor, kind: str) -> Role:
    if kind == "normalization":
        return "normalization"
    if kind == "neuron":
        return "thresholds" if key in _THRESHOLDS else "other"
    if "bias" in key:
        return "biases"
    return "weights" if parameter.dim() >= 2 else "other"
