"""Networks whose layers have different specs, as `inject` would give them."""

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import HostedNet, ResidualNet, StringNet, string_net
from qsnn_plugins.nn import layer_quantizer, quantized_neurons, weight_layers
from qsnn_plugins.spec import MembraneSpec, QuantSpec, WeightSpec

FLOAT = QuantSpec.full_precision()
SPEC, OTHER = presets.imsnn(), presets.qsnn(4)


def bits(network):
    """Bits of each membrane and of each weight."""
    membranes = {
        name: neuron.quant_spec.membrane.storage_bits
        for name, neuron in quantized_neurons(network).items()
    }
    weights = {
        name: getattr(layer_quantizer(layer), "bits", 32)
        for name, layer in weight_layers(network).items()
    }
    return membranes, weights


@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
def test_a_string_net_has_the_specs_of_its_layers(host):
    inner = ".neuron" * (host == "snntorch")  # MultiStep holds the neuron
    network = StringNet(
        "4C3-4C3-GAP-FC6-FC2",
        spec=SPEC,
        host=host,
        overrides={"blocks.conv2": OTHER, "blocks.fc1.neuron": None, "*.fc2": None},
    )
    assert bits(network) == (
        {
            f"blocks.conv1.neuron{inner}": 2,
            f"blocks.conv2.neuron{inner}": 4,
            f"blocks.fc1.neuron{inner}": 32,
        },
        {
            "blocks.conv1.synapse.0": 4,
            "blocks.conv2.synapse.0": 1,
            "blocks.fc1.synapse.1": 4,
            "blocks.fc2.1": 32,
        },
    )
    assert network(torch.rand(2, 1, 2, 6, 6)).shape == (2, 1, 2)


def test_a_residual_net_has_the_specs_of_its_layers():
    overrides = {"blocks.stage2": OTHER, "blocks.stage2.0.*2*": None, "*.shortcut": FLOAT}
    network = ResidualNet(20, width=1 / 4, in_channels=2, spec=SPEC, overrides=overrides)
    membranes, weights = bits(network)
    assert membranes["blocks.stage1.2.neuron2"] == membranes["blocks.stem.neuron"] == 2
    assert membranes["blocks.stage2.0.neuron1"] == membranes["blocks.stage2.1.neuron2"] == 4
    assert membranes["blocks.stage2.0.neuron2"] == 32
    assert weights["blocks.stage2.0.synapse1.0"] == 1
    assert weights["blocks.stage2.0.synapse2.0"] == 32
    assert weights["blocks.stage3.0.shortcut.0"] == 32
    assert len(membranes) == 19
    assert len(weights) == 22


def test_a_hosted_net_has_the_specs_of_its_layers():
    overrides = {"blocks.host.blocks.1": OTHER, "blocks.host.head": None}
    network = HostedNet("spikformer_2_384", width=0.25, spec=SPEC, overrides=overrides)
    membranes, weights = bits(network)
    assert set(membranes.values()) == {2, 4}
    assert {b for n, b in membranes.items() if n.startswith("blocks.host.blocks.1.")} == {4}
    assert {b for n, b in weights.items() if n.startswith("blocks.host.blocks.1.")} == {1}
    assert weights["blocks.host.head"] == 32
    assert [row.names for row in network.report.floats] == [("blocks.host.head.weight",)]


def test_the_first_and_last_layer_are_the_networks():
    eight = QuantSpec(weight=WeightSpec("uniform", bits=2, first_last="eight_bit"))
    layers = "4C3-4C3-GAP-FC6-FC2"
    network = StringNet(layers, spec=eight, overrides={"blocks.conv2": SPEC, "blocks.fc2": SPEC})
    assert list(bits(network)[1].values()) == [8, 4, 2, 4]


def test_overrides_that_say_the_same_change_nothing():
    def build(**options):
        torch.manual_seed(0)
        return StringNet("4C3-4C3-GAP-FC2", spec=presets.spquant(), **options).state_dict()

    plain, same = build(), build(overrides={"*": presets.spquant()})
    assert plain.keys() == same.keys()
    assert all(torch.equal(plain[name], same[name]) for name in plain)


@pytest.mark.parametrize(
    "build",
    [
        lambda o: StringNet("4C3-GAP-FC2", overrides=o),
        lambda o: StringNet("4C3-GAP-FC2", host="snntorch", overrides=o),
        lambda o: ResidualNet(20, width=1 / 16, overrides=o),
        lambda o: HostedNet("spikformer_2_384", width=0.25, overrides=o),
    ],
)
@pytest.mark.parametrize("pattern", ["layer1.*", "blocks.conv1.neuron.neuron"])
def test_a_pattern_that_covers_nothing_is_refused(build, pattern):
    with pytest.raises(ArgumentError, match=f"overrides='{pattern[:5]}.*such as blocks"):
        build({pattern: None})


def test_overrides_come_from_yaml():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=nn.Module)
    overrides = {"blocks.conv1.*": {"membrane": {"kind": "float"}}, "blocks.fc1": None}
    network = {
        "class_path": "qsnn_plugins.models.string_net",
        "init_args": {"name": "vgg7", "input_size": [16, 16], "width": 0.1, "overrides": overrides},
    }
    built = parser.instantiate_classes(parser.parse_object({"network": network})).network
    assert built.blocks.conv1.neuron.quant_spec == QuantSpec(MembraneSpec(kind="float"))
    assert built.blocks.conv2.neuron.quant_spec == QuantSpec()


def test_string_net_hands_them_on():
    network = string_net("vgg7", input_size=(16, 16), width=0.1, overrides={"*": OTHER})
    assert set(bits(network)[0].values()) == {4}
