import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import multi_bit_primitive, multi_bit_spike
from qsnn_plugins.nn import Spike, SumLimit
from qsnn_plugins.spec import SpikeSpec


def test_several_bits_follow_the_contract_for_surrogates():
    spike = Spike.from_spec(SpikeSpec(bits=3))
    x = torch.linspace(-2, 9, 50)
    assert torch.equal(spike(x, 0.8), multi_bit_spike(x, 0.8, 3))
    spike.set_spiking_mode(False)
    assert torch.equal(spike(x, 0.8), multi_bit_primitive(x, 0.8, 3))


def test_comparison_is_the_hosts():
    x = torch.tensor([0.0, 1.0])
    assert Spike(bits=2)(x).tolist() == [1, 2]
    assert Spike(bits=2, fires_at_zero=False)(x).tolist() == [0, 1]
    assert Spike(fires_at_zero=False)(x).tolist() == [0, 1]


@pytest.mark.parametrize("arguments", [{"bits": 0}, {"surrogate": "step"}, {"sharpness": -1.0}])
def test_bad_arguments_are_named(arguments):
    with pytest.raises(ArgumentError, match=next(iter(arguments))):
        Spike(**arguments)


@pytest.mark.parametrize("arguments", [{"bits": 0}, {"bits": 2, "unit": -1}])
def test_bad_arguments_of_a_limit_are_named(arguments):
    with pytest.raises(ArgumentError, match=[*arguments][-1]):
        SumLimit(**arguments)
