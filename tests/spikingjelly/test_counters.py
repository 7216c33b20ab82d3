import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spikingjelly import MultiBitIFNode
from qsnn_plugins.spikingjelly.legacy import IS_LEGACY

if IS_LEGACY:
    pytest.skip("0.0.0.0.14 has no operation counters", allow_module_level=True)

from spikingjelly.activation_based.op_counter import (
    ACCounter,
    DispatchCounterMode,
    MACCounter,
    SynOpCounter,
)

from qsnn_plugins.spikingjelly.counters import accumulate_rules, additions, multiply_rules


def counts(run, bits):
    """Accumulations and multiplications of a run: by the host's rules, then by ours."""
    found = []
    for accumulate, multiply in ((None, None), (accumulate_rules(bits), multiply_rules(bits))):
        counters = [SynOpCounter(accumulate), MACCounter(multiply)]
        with DispatchCounterMode(counters), torch.no_grad():
            run()
        found.append(tuple(counter.get_total() for counter in counters))
    return found


def reference_additions(x, weight, **how):
    """Additions of a convolution, one input element at a time."""
    total = 0
    for place in x.nonzero().tolist():
        single = torch.zeros_like(x)
        single[tuple(place)] = 1
        reached = F.conv2d(single, torch.ones_like(weight), **how).sum().item()
        total += reached * int(abs(x[tuple(place)].item())).bit_count()
    return total


@pytest.mark.parametrize(("low", "bits"), [(-1, 1), (0, 2), (-3, 2), (0, 3)])
@pytest.mark.parametrize("factor", [1.0, 0.3])
def test_each_one_among_the_bits_is_an_accumulation(low, bits, factor):
    torch.manual_seed(0)
    k = torch.randint(low, 2**bits, (5, 12)).float()
    k[0, 0] = 2**bits - 1
    k[0, 1] = 1
    layer = nn.Linear(12, 7)
    ones = sum(int(abs(value)).bit_count() for value in k.flatten().tolist())
    host, ours = counts(lambda: layer(k * factor), bits)
    assert host == (0, 5 * 12 * 7)
    assert ours == (ones * 7, 0)
    batch = torch.rand(3, 12, 4)
    _, ours = counts(lambda: torch.bmm(k.expand(3, 5, 12).contiguous() * factor, batch), bits)
    assert ours == (3 * ones * 4, 0)


@pytest.mark.parametrize("how", [{}, {"stride": 2, "padding": 1}, {"groups": 2}])
def test_a_convolution_accumulates_where_an_input_reaches(how):
    torch.manual_seed(0)
    k = torch.randint(-3, 4, (2, 4, 6, 6)).float()
    weight = torch.randn(6, 4 // how.get("groups", 1), 3, 3)
    host, ours = counts(lambda: F.conv2d(k, weight, **how), 2)
    assert host[0] == 0 < host[1]
    assert ours == (reference_additions(k, weight, **how), 0)


def test_the_host_s_own_cases_are_the_host_s():
    torch.manual_seed(0)
    spikes, currents, weight = (
        (torch.rand(5, 12) < 0.3).float(),
        torch.rand(5, 12),
        torch.rand(12, 7),
    )
    for x in (spikes, currents):
        host, ours = counts(lambda x=x: x @ weight, 3)
        assert host == ours
    assert counts(lambda: currents @ weight, 3)[1] == (0, 5 * 12 * 7)


def test_too_few_bits_are_no_grid():
    k = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    assert additions(k, 1) is None
    assert additions(k, 2).tolist() == [[0.0, 1.0, 1.0, 2.0]]
    assert additions(torch.tensor([2.0, 3.0]), 2).tolist() == [1.0, 2.0]
    assert additions(torch.tensor([1.0, float("nan")]), 2) is None
    with pytest.raises(ArgumentError, match="bits=9"):
        accumulate_rules(9)


def test_a_network_of_multi_bit_neurons_multiplies_in_its_first_layer_alone():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(6, 20), MultiBitIFNode(bits=2, v_threshold=0.2), nn.Linear(20, 4)
    )
    x = torch.rand(8, 6) * 3
    host, ours = counts(lambda: (network[1].reset(), network(x)), 2)
    assert host[1] == 8 * (6 * 20 + 20 * 4)
    assert ours[1] == 8 * 6 * 20
    assert ours[0] > 0
    counter = ACCounter(accumulate_rules(2))
    with DispatchCounterMode([counter]):
        network[2](torch.tensor([[0.0, 2.0, 3.0, 1.0] * 5]))
    assert counter.get_total() == 5 * 4 * 4
