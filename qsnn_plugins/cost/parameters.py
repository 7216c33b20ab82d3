"""What a network stores for good, by role and width: weights, and what papers forget."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from qsnn_plugins.cost.layers import FLOAT_BITS, ParameterCost
from qsnn_plugins.cost.neurons import all_neurons
from qsnn_plugins.cost.ways import Role
from qsnn_plugins.nn import (
    UniformMembrane,
    WeightQuantizer,
    layer_quantizer,
    weight_layers,
    weight_quantizer,
)
from qsnn_plugins.nn.weight import WeightLayer
from qsnn_plugins.spec import QuantSpec, WeightSpec

__all__ = ["stored_parameters", "weight_bits"]

_BATCH_NORM = nn.modules.batchnorm._NormBase
_OTHER_NORMS = (nn.LayerNorm, nn.GroupNorm)
_THRESHOLDS = ("v_threshold", "threshold")  # SpikingJelly's name, and snnTorch's


def stored_parameters(
    network: nn.Module, spec: QuantSpec | None, channels: Mapping[str, int]
) -> tuple[ParameterCost, ...]:
    """List what a network stores for good, in the order of definition.

    Shared parameters are listed once. Of batch normalization two numbers a channel are stored:
    the running mean and variance go into them.

    Args:
        network: Any network.
        spec: How it is going to be quantized, or None for how it is.
        channels: Channels of each layer of neurons, by name.
    """
    neurons, quantizers = all_neurons(network), _quantizers(network, spec)
    seen: set[int] = set()
    rows: list[ParameterCost] = []
    for name, module in network.named_modules():
        if "parametrizations" in name.split("."):
            continue
        is_neuron = name in neurons
        if isinstance(module, WeightLayer):
            kind = "linear" if isinstance(module, nn.Linear) else "conv"
            rows += _of_layer(name, kind, module, quantizers[name], seen)
        elif isinstance(module, UniformMembrane):
            if spec is None and id(module.scale) not in seen:
                of = name.rpartition(".")[0]
                rows.append(ParameterCost(of, "scales", 1, FLOAT_BITS, "neuron"))
            seen.add(id(module.scale))
        elif isinstance(module, _BATCH_NORM):
            seen.update(map(id, module.parameters()))
            count = 2 * module.num_features
            rows.append(ParameterCost(name, "normalization", count, FLOAT_BITS, "normalization"))
        if is_neuron and spec is not None:
            rows += _of_new_neuron(name, module, spec, channels.get(name, 1), seen)
        rows += _rest(name, module, is_neuron, seen)
    return tuple(rows)


def weight_bits(network: nn.Module, spec: QuantSpec | None) -> dict[str, int]:
    """Bits of the weights of each Conv and Linear layer, by name."""
    return {
        name: quantizer.bits if quantizer else FLOAT_BITS
        for name, quantizer in _quantizers(network, spec).items()
    }


def _quantizers(network: nn.Module, spec: QuantSpec | None) -> dict[str, WeightQuantizer | None]:
    layers = weight_layers(network)
    if spec is None:
        return {name: layer_quantizer(layer) for name, layer in layers.items()}
    ends = {*[*layers][:1], *[*layers][-1:]}
    return {name: _new(layer, spec.weight, name in ends) for name, layer in layers.items()}


def _new(layer: WeightLayer, spec: WeightSpec, is_end: bool) -> WeightQuantizer | None:
    # of ours, how many scales there are depends on the number of channels alone
    shape = layer.weight.shape if spec.kind == "custom" else (len(layer.weight), 1)
    like = torch.linspace(-1, 1, math.prod(shape)).reshape(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantizer: Any = weight_quantizer(like, spec, is_end)
    return None if isinstance(quantizer, nn.Identity) else quantizer


def _of_layer(
    name: str, kind: str, layer: Any, quantizer: WeightQuantizer | None, seen: set[int]
) -> Iterator[ParameterCost]:
    parametrizations: Any = getattr(layer, "parametrizations", {})
    weight = parametrizations.weight.original if "weight" in parametrizations else layer.weight
    if id(weight) not in seen:
        seen.add(id(weight))
        bits = quantizer.bits if quantizer else FLOAT_BITS
        yield ParameterCost(name, "weights", weight.numel(), bits, kind)
        if quantizer:
            yield ParameterCost(name, "scales", quantizer.scale_count, quantizer.scale_bits, kind)
    if layer.bias is not None and id(layer.bias) not in seen:
        seen.add(id(layer.bias))
        yield ParameterCost(name, "biases", layer.bias.numel(), FLOAT_BITS, kind)
    if parametrizations:  # shared with membranes, as MINT's scale is
        seen.update(map(id, parametrizations.parameters()))


def _of_new_neuron(
    name: str, neuron: nn.Module, spec: QuantSpec, channels: int, seen: set[int]
) -> Iterator[ParameterCost]:
    seen.update(id(neuron._parameters.get(key)) for key in _THRESHOLDS)
    if spec.membrane.kind in ("uniform", "tanh"):
        yield ParameterCost(name, "scales", 1, FLOAT_BITS, "neuron")
    if spec.threshold.learned:
        count = channels if spec.threshold.per == "channel" else 1
        yield ParameterCost(name, "thresholds", count, FLOAT_BITS, "neuron")


def _rest(name: str, module: nn.Module, is_neuron: bool, seen: set[int]) -> Iterator[ParameterCost]:
    for key, parameter in module._parameters.items():
        if parameter is None or id(parameter) in seen:
            continue
        seen.add(id(parameter))
        role: Role = "other"
        kind = "neuron" if is_neuron else "other"
        if isinstance(module, _OTHER_NORMS):
            role, kind = "normalization", "normalization"
        elif is_neuron and key in _THRESHOLDS:
            role = "thresholds"
        yield ParameterCost(name, role, parameter.numel(), FLOAT_BITS, kind)
