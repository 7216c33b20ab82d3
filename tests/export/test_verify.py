"""Both networks side by side: as they are used, and only if they belong together."""

import pytest
import snntorch as snn
import torch
from spikingjelly.activation_based import layer, neuron
from torch import nn

from qsnn_plugins import export, inject
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec import QuantSpec, SpikeSpec, ThresholdSpec, WeightSpec
from tests.export import called_networks as nets
from tests.export.networks import counts


@pytest.fixture(scope="module")
def pair():
    network = nets.quantized(nets.OneStep())
    return network, export.to_integer(network, flat())


def flat():
    return counts(4, 3, (12,))


def test_single_steps_are_shown_one_after_the_other(pair):
    network, integer = pair
    labels = integer(flat())[0].sum(0).argmax(1)
    found = export.verify(network, integer, [(flat(), labels), flat()[:, :1]])
    assert found.exact
    assert (found.samples, found.integer_hits, found.float_hits) == (4, 3, 3)
    assert found.spikes == (3 + 1) * 4 * (9 + 5)
    assert 0 < found.layers["lif1"].sent < found.layers["lif1"].spikes
    one = export.verify(network, integer, [flat()[0]], steps=5, compiled=integer.compile())
    assert one.spikes == 3 * 5 * (9 + 5)
    assert one.exact


def test_a_network_that_knows_its_steps_is_shown_one_frame():
    network = nets.quantized(nets.Still())
    image = counts(1, 3, (1, 6, 6))[0]
    integer = export.to_integer(network, image)
    found = export.verify(network, integer, [image])
    assert found.spikes == 3 * nets.STEPS * (9 + 5)
    assert found.exact
    with pytest.raises(ArgumentError, match="steps=7"):
        export.verify(network, integer, [image], steps=7)
    with pytest.raises(ArgumentError, match="frames that change"):
        export.verify(network, integer, [counts(4, 3, (1, 6, 6))])


def test_spikes_in_units_of_a_threshold_per_channel_are_counted():
    spec = QuantSpec(
        spike=SpikeSpec(bits=2, value="threshold"),
        threshold=ThresholdSpec("ordinary", per="channel"),
        weight=WeightSpec("uniform", bits=4),
    )
    torch.manual_seed(0)
    network = nn.Sequential(layer.Linear(12, 5), neuron.LIFNode(step_mode="m"))
    inject(network, spec, example_input=flat())
    network.eval()
    network[0].parametrizations.weight.original.data.mul_(4)
    network[1].v_threshold.data = torch.tensor([0.7, 0.9, 1.1, 1.3, 0.8])
    integer = export.to_integer(network, flat())
    found = export.verify(network, integer, [flat()])
    assert found.exact
    assert found.layers["1"].sent
    assert found.largest_difference < 1e-4


def test_spikes_that_the_network_writes_to_are_those_that_were_sent():
    class InPlace(nets.OneStep):
        def forward(self, x):
            first = self.lif1(self.fc1(x))
            other = self.lif1_too(self.other(x))
            other += first
            return self.lif2(self.fc2(other))

    network = InPlace()
    network.lif1_too = snn.Leaky(0.8, init_hidden=True)
    network = nets.quantized(network)
    integer = export.to_integer(network, flat())
    assert integer(flat())[1]["lif1"].any()
    assert export.verify(network, integer, [flat()]).exact


def test_another_network_is_no_pair(pair):
    network, integer = pair
    for other, words in (
        (nets.quantized(nets.OneStep(), seed=1), "weights of fc1 are others"),
        (nets.quantized(nets.Still()), "the one that was exported"),
        (nn.Linear(2, 2), "has lif1"),
        (nets.OneStep(), "has lif1"),
    ):
        with pytest.raises(ArgumentError, match=rf"network=.*{words}"):
            export.verify(other, integer, [flat()])
    with pytest.raises(ArgumentError, match="batches=0"):
        export.verify(network, integer, [])


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        (None, "batches"),
        (flat(), "batches"),
        ([None], "frames"),
        ([(flat(),)], "batches"),
        ([(flat(), flat(), flat())], "batches"),
        ([(flat(), "labels")], "labels"),
        ([(flat(), torch.zeros(2))], "labels"),
        ([flat()[:0]], "batches"),
        ([flat()[:, :0]], "batches"),
        ([flat()[..., :5]], "frames.shape"),
        ([1000 * flat()], "frames"),
    ],
    ids=range(11),
)
def test_what_are_no_batches_is_refused(pair, batches, words):
    with pytest.raises(ArgumentError, match=words):
        export.verify(*pair, batches)


@pytest.mark.parametrize(
    "how",
    [{"steps": 0}, {"steps": "a"}, {"steps": True}, {"steps": 3}, {"compiled": 5},
     {"network": None}, {"integer": None}, {"integer": nn.Identity()}],
    ids=str,
)  # fmt: skip
def test_foreign_arguments_are_named(pair, how):
    arguments = {"network": pair[0], "integer": pair[1], "batches": [flat()], **how}
    with pytest.raises(ArgumentError, match="batches" if how == {"steps": 3} else next(iter(how))):
        export.verify(**arguments)


def test_the_network_is_left_as_it_was(pair):
    network, integer = pair
    network.train()
    network.fc1.eval()
    export.verify(network, integer, [flat()])
    assert network.training
    assert not network.fc1.training
    assert not network.fc1._forward_hooks
    network.eval()
