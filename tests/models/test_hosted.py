"""SpikingJelly's own networks behind the interface of the others."""

import copy

import pytest
import torch
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import HostedNet
from qsnn_plugins.nn import ForwardMonitor, layer_quantizer, quantized_neurons, weight_layers
from qsnn_plugins.spikingjelly.networks import NETWORKS, build_network
from tests.models.counts import FLOAT, count

# parameters in M; the Spikformers' hold LayerNorms that the papers' code has and never uses, and
# biases before normalization, neither of which SpikingJelly's builder has
PARAMETERS = {
    "spikformer_4_256": (10, 4.16),
    "spikformer_2_384": (10, 5.77),
    "spikformer_4_384": (10, 9.33),
    "spikformer_6_512": (1000, 23.37),
    "spikformer_8_384": (1000, 16.81),
    "spikformer_8_512": (1000, 29.72),
    "spikformer_10_512": (1000, 36.01),
    "spikformer_8_768": (1000, 66.34),
    "sew_resnet34": (1000, 21.79),
    "sew_resnet50": (1000, 25.56),
}
MACS = {"spikformer_4_256": 0.410, "spikformer_2_384": 0.695, "spikformer_4_384": 0.921}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_network_has_the_papers_parameters(name):
    classes, printed = PARAMETERS[name]
    with torch.device("meta"):
        network = build_network(name, classes, input_size=(224, 224))
    total = sum(p.numel() for p in network.parameters())
    assert total / 1e6 == pytest.approx(printed, rel=0.005)


def test_the_count_notices_another_network():
    with torch.device("meta"):
        network = build_network("spikformer_4_256", 1000)
    total = sum(p.numel() for p in network.parameters())
    assert total / 1e6 != pytest.approx(4.16, rel=0.005)


def test_a_narrow_spikformer_keeps_its_blocks_and_heads():
    narrow, full = (build_network("spikformer_4_384", 10, width=w) for w in (0.25, 1.0))
    assert len(narrow.blocks) == len(full.blocks) == 4
    heads = [[m.num_heads for m in n.modules() if hasattr(m, "num_heads")] for n in (narrow, full)]
    assert heads[0] == heads[1]
    assert narrow.head.in_features * 4 == full.head.in_features == 384


@pytest.mark.parametrize("name", MACS)
def test_the_multiplications_of_a_spikformer(name):
    c = count(lambda: HostedNet(name, spec=FLOAT), (32, 32))
    assert c.macs / 1e9 == pytest.approx(MACS[name], rel=0.03)  # with the attention's products


@pytest.mark.parametrize("name", ["spikformer_2_384", "sew_resnet34"])
def test_a_hosted_network_fires_learns_and_comes_back(name):
    torch.manual_seed(0)
    network, x = HostedNet(name, spec=presets.imsnn()), 4 * torch.rand(2, 2, 3, 32, 32)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0  # an evaluation normalizes with this one batch
    with ForwardMonitor(quantized_neurons(network)) as rates:
        logits = network(x)
    assert logits.shape == (2, 2, 10)
    assert sum(rates.means().values()) > 0
    logits.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)
    assert all(layer_quantizer(m) is not None for m in weight_layers(network).values())
    network.eval()
    network.reset_states()
    expected = network(x)
    assert not torch.equal(network(x), expected), "without a reset the membrane goes on"
    other = HostedNet(name, spec=presets.imsnn()).eval()
    other.load_state_dict(copy.deepcopy(network.state_dict()))
    assert torch.equal(other(x), expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("spikformer_9_9", 10), f"name='spikformer_9_9'.*{NETWORKS[0]}"),
        (("sew_resnet34", 10, 2), "in_channels=2"),
        (("sew_resnet34", 0), "classes=0"),
        (("spikformer_4_256", 10, 3, (30, 32)), r"input_size=\(30, 32\).*multiples of 4"),
        (("spikformer_4_384", 10, 3, (32, 32), 0.3), r"width=0\.3.*multiple of 24"),
        (("sew_resnet34", 10, 3, (32, 32), 0.5), r"width=0\.5.*give 1"),
    ],
)
def test_a_wrong_argument_is_named(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        build_network(*arguments)
