"""Parameter groups with and without weight decay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn.membrane_bits import UniformMembrane
from qsnn_plugins.nn.neuron import quantized_neurons
from qsnn_plugins.nn.weight import WeightQuantizer

__all__ = ["WeightDecayOn", "parameter_groups"]

WeightDecayOn = Literal["all", "weights"]


def parameter_groups(
    network: nn.Module, weight_decay_on: WeightDecayOn = "weights"
) -> list[dict[str, Any]]:
    """Return the parameters of a network in groups with and without weight decay.

    Learned scales, thresholds and leaks never decay, because weight decay would pull them to 0
    regardless of the loss, and with them all weights or membranes that share them.

    Args:
        network: A network after `inject`.
        weight_decay_on: Parameters with weight decay: "weights" are those with two or more
            dimensions; "all" includes biases and normalization.

    Returns:
        Groups for an optimizer, without empty ones.

    Raises:
        ArgumentError: If `weight_decay_on` is not allowed.

    Example:
        >>> import torch
        >>> from qsnn_plugins.nn import quantize_weights
        >>> from qsnn_plugins.spec import WeightSpec
        >>> network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        >>> _ = quantize_weights(network, WeightSpec(kind="power_of_two"))
        >>> optimizer = torch.optim.SGD(parameter_groups(network), lr=0.1, weight_decay=5e-4)
        >>> [(len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups]
        [(1, 0.0005), (4, 0.0)]
    """
    if weight_decay_on not in get_args(WeightDecayOn):
        allowed = f"one of {', '.join(get_args(WeightDecayOn))}"
        raise ArgumentError("weight_decay_on", weight_decay_on, allowed)
    least = 2 if weight_decay_on == "weights" else 0
    scales = {id(parameter) for parameter in _scales(network)}
    groups: list[dict[str, Any]] = [{"params": []}, {"params": [], "weight_decay": 0.0}]
    for parameter in network.parameters():
        decays = parameter.dim() >= least and id(parameter) not in scales
        groups[not decays]["params"].append(parameter)
    return [group for group in groups if group["params"]]


def _scales(network: nn.Module) -> Iterator[nn.Parameter]:
    """Yield what quantizers and quantized neurons learn besides weights."""
    for neuron in quantized_neurons(network).values():
        yield from neuron.parameters(recurse=False)
        yield from neuron.get_submodule("membrane").parameters()
    for module in network.modules():  # those within a neuron that stays the host's, too
        if isinstance(module, UniformMembrane | WeightQuantizer):
            yield from module.parameters()
