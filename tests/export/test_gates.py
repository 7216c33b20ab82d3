"""Products of spikes: SEW blocks that join by AND and IAND."""

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from qsnn_plugins import export, inject, presets
from qsnn_plugins.errors import ExportError
from qsnn_plugins.spec import QuantSpec, SpikeSpec, WeightSpec
from tests.export.c_programs import assert_equal_in_c, needs_gcc
from tests.export.networks import check, counts, waken


class Block(nn.Module):
    def __init__(self, join):
        super().__init__()
        self.conv1, self.bn1 = layer.Conv2d(2, 6, 3, padding=1), layer.BatchNorm2d(6)
        self.conv2, self.bn2 = layer.Conv2d(6, 6, 3, padding=1), layer.BatchNorm2d(6)
        self.conv3 = layer.Conv2d(6, 4, 3)
        self.lif1, self.lif2, self.lif3 = (neuron.LIFNode() for _ in range(3))
        self.join = join

    def forward(self, x):
        a = self.lif1(self.bn1(self.conv1(x)))
        b = self.lif2(self.bn2(self.conv2(a)))
        return self.lif3(self.conv3(self.join(a, b)))


def block(join, spec=None):
    torch.manual_seed(0)
    network = Block(join)
    inject(network, spec or presets.imsnn(weight_bits=4))
    functional.set_step_mode(network, "m")
    return waken(network)


JOINS = [
    lambda a, b: a * b,
    lambda a, b: a * (1.0 - b),
    lambda a, b: (1 - a) * b,
    lambda a, b: (b - 1) * a * 0.5,
    lambda a, b: a * b * (1 - a),
    torch.maximum,
    lambda a, b: torch.logical_or(a, b).to(a.dtype) * 0.5,
    lambda a, b: torch.maximum(a, a * b),
]


@pytest.mark.parametrize("join", JOINS, ids=range(len(JOINS)))
def test_products_of_spikes_are_exact_and_multiply_nothing(join):
    integer = check(block(join), counts())
    assert integer.multiplications == 0
    answers, spikes = integer(counts())
    answers_compiled, spikes_compiled = integer.compile()(counts(), spikes=True)
    assert torch.equal(answers, answers_compiled)
    assert all(torch.equal(spikes_compiled[name], sent) for name, sent in spikes.items())


@pytest.mark.parametrize("cnf", ["ADD", "AND", "IAND"])
@pytest.mark.slow
def test_a_sew_network_of_the_host_needs_no_multiplication(cnf):
    from spikingjelly.activation_based.model import sew_resnet

    torch.manual_seed(0)
    network = sew_resnet.sew_resnet18(cnf=cnf, spiking_neuron=neuron.IFNode, num_classes=4)
    inject(network, presets.imsnn(weight_bits=4))
    functional.set_step_mode(network, "m")
    integer = check(waken(network), counts(steps=2, samples=1, shape=(3, 16, 16)))
    assert integer.multiplications == 0


@pytest.mark.slow
@needs_gcc
def test_they_are_equal_in_c(tmp_path):
    for place, join in enumerate((*JOINS[:2], torch.maximum)):
        integer = export.to_integer(block(join), counts())
        assert_equal_in_c(integer, counts(), tmp_path / str(place))


def test_products_of_counts_are_refused():
    spec = QuantSpec(spike=SpikeSpec(bits=2), weight=WeightSpec("uniform", bits=4))
    for join in (lambda a, b: a * b, lambda a, b: (a + b) * a):
        with pytest.raises(ExportError, match="spikes of one bit"):
            export.to_integer(block(join, spec), counts())
    for join in (lambda a, b: torch.maximum(a, 2 * b), lambda a, b: torch.maximum(a, 1 - b)):
        with pytest.raises(ExportError, match="stand for different values"):
            export.to_integer(block(join), counts())
    with pytest.raises(ExportError, match="a constant"):
        export.to_integer(block(lambda a, b: torch.maximum(a, torch.ones(()))), counts())
    with pytest.raises(ExportError, match="neither AND nor IAND"):
        export.to_integer(block(lambda a, b: (1 - a) * (1 - b)), counts())
