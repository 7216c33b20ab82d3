"""Counting what a network has, without its memory: everything runs on the meta device."""

from collections import Counter
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from qsnn_plugins.nn import quantized_neurons
from qsnn_plugins.spec import QuantSpec

FLOAT = QuantSpec.full_precision()


@dataclass
class Counts:
    """Parameters by kind; neurons and multiply-accumulates of one sample's one step."""

    conv: int
    conv_bias: int
    norm: int
    linear: int
    linear_bias: int
    total: int
    neurons: int
    macs: int


def count(build, size):
    """Build a network on the meta device and count it over one input of (height, width) `size`."""
    with torch.device("meta"):
        network = build().eval()
        x = torch.zeros(1, 1, network.in_channels, *size)
    found = Counter()
    kinds = {
        nn.Conv1d: "conv",
        nn.Conv2d: "conv",
        nn.Linear: "linear",
        nn.modules.batchnorm._BatchNorm: "norm",
    }
    for module in network.modules():
        for kind, name in kinds.items():
            if isinstance(module, kind) and name == "norm":
                found["norm"] += sum(p.numel() for p in module.parameters())
            elif isinstance(module, kind):
                found[name] += module.weight.numel()
                found[f"{name}_bias"] += 0 if module.bias is None else module.bias.numel()
    neurons = []
    for node in quantized_neurons(network).values():
        node.register_forward_hook(lambda _, __, spikes: neurons.append(spikes.numel()))
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        network(x)
    return Counts(
        **{name: found[name] for name in ("conv", "conv_bias", "norm", "linear", "linear_bias")},
        total=sum(p.numel() for p in network.parameters()),
        neurons=sum(neurons),
        macs=flops.get_total_flops() // 2,
    )
