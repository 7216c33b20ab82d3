"""Every network runs forward and backward at a tiny size, fires, and comes back from its state."""

import copy
import itertools

import pytest
import torch
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.models import NETWORK_STRINGS, ResidualNet, StringNet, string_net
from qsnn_plugins.nn import ForwardMonitor, quantized_neurons
from qsnn_plugins.spec import QuantSpec

SIZES = {"mobilenet_light": 8, "decolle": 8, "plif": 32, "yolov2_table4": 64} | dict.fromkeys(
    ["vgg7", "vgg9_table4", "vgg9_released", "vggsnn"], 16
)
STRINGS = {name: SIZES.get(name, 32) for name in NETWORK_STRINGS}
RESIDUAL = {
    "resnet19_tet": {"depth": 19, "stem_channels": 64},
    "resnet19_tdbn": {"depth": 19, "normalization": "threshold"},
    "resnet19_qsnn": {"depth": 19, "hidden_features": 0},
    "resnet18": {"depth": 18, "stem": "large"},
    "resnet20": {"depth": 20},
    "resnet34": {"depth": 34, "classes": 7},
}
SPECS = {
    "float": QuantSpec.full_precision(),
    "imsnn": presets.imsnn(weight_bits=4),
    "qsnn": presets.qsnn(membrane_bits=2),
}


def build(name, spec):
    """Build a network of the paper's structure at a small size, and an input."""
    if name in RESIDUAL:
        network = ResidualNet(**RESIDUAL[name], width=1 / 8, spec=spec)
        size = 32 if name == "resnet18" else 16
    else:
        known, size = NETWORK_STRINGS[name], STRINGS[name]
        network = string_net(name, input_size=(size, size), spec=spec)
        assert isinstance(network, StringNet)
        assert network.in_channels == known.in_channels
    return network, 4 * torch.rand(2, 2, network.in_channels, size, size)


def run(network, x):
    """Return logits of the network from rest, and the rates of all its neurons."""
    network.reset_states()
    with ForwardMonitor(quantized_neurons(network)) as rates:
        logits = network(x)
    return logits, {name: float(rate.detach()) for name, rate in rates.means().items()}


# each network once and each spec once or more; all pairs are slow
QUICK = set(zip([*STRINGS, *RESIDUAL], itertools.cycle(SPECS), strict=False))
PAIRS = [
    pytest.param(name, spec, marks=() if (name, spec) in QUICK else pytest.mark.slow)
    for name in [*STRINGS, *RESIDUAL]
    for spec in SPECS
]


@pytest.mark.parametrize(("name", "spec"), PAIRS)
def test_a_network_fires_learns_and_comes_back(name, spec):
    torch.manual_seed(0)
    network, x = build(name, SPECS[spec])
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0  # an evaluation normalizes with this one batch
    logits, rates = run(network, x)
    assert logits.shape == (2, 2, network.out_channels)
    assert logits.isfinite().all()
    assert min(rates.values()) > 0, rates
    logits.square().sum().backward()
    grads = {name: p.grad for name, p in network.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in grads.values())
    silent = [n for n, g in grads.items() if n.endswith(("weight", "original")) and not g.any()]
    assert not silent, "every weight learns"

    network.eval()
    expected, _ = run(network, x)
    torch.manual_seed(1)
    other, _ = build(name, SPECS[spec])
    other.eval()
    assert not torch.equal(run(other, x)[0], expected)
    other.load_state_dict(copy.deepcopy(network.state_dict()))
    assert torch.equal(run(other, x)[0], expected)


def test_without_wide_weights_a_network_without_normalization_is_silent():
    torch.manual_seed(0)
    network, x = build("vgg9_mint", SPECS["float"])
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()
    _, rates = run(network, x)
    assert min(rates.values()) == 0
