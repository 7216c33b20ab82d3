import copy
import gc
import weakref

import pytest
import torch
from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import spike_regulation
from qsnn_plugins.nn import FiringRates, Spike


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), Spike(), nn.Linear(8, 5), Spike(), nn.Linear(5, 3), Spike()
    )


def hooks(net):
    return sum(len(module._forward_hooks) for module in net.modules())


def test_rates_are_the_means_of_what_is_sent_out():
    net, x = network(), torch.randn(50, 4)
    with FiringRates(net, [Spike]) as rates:
        net(x)
        assert list(rates.by_name()) == ["1", "3", "5"]
        first = net[1](net[0](x)).mean()  # a second forward of the first module alone
        assert rates.by_name()["1"].item() == pytest.approx(first.item())
        rates.clear()
        assert rates.by_name() == {}
        net(x)
        net(-x)
    both = (net[:2](x).mean() + net[:2](-x).mean()) / 2
    assert rates.values()[0].item() == pytest.approx(both.item())


def test_a_loss_over_rates_trains_the_network():
    net = network()
    with FiringRates(net, [Spike]) as rates:
        net(torch.randn(50, 4))
    spike_regulation(rates.values()).backward()
    assert net[2].weight.grad.abs().sum() > 0
    with torch.no_grad(), FiringRates(net, [Spike]) as rates:
        net(torch.randn(5, 4))
    assert not rates.values()[0].requires_grad


def test_modules_are_found_by_name_and_tuples_give_their_first():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x + 1

    net = nn.ModuleDict({"a": Pair(), "b": nn.Identity()})
    with FiringRates(net, ["a"]) as rates:
        net["a"](torch.tensor([0.0, 1.0]))
        net["b"](torch.tensor([9.0]))
    assert {name: rate.item() for name, rate in rates.by_name().items()} == {"a": 0.5}


def test_the_network_is_left_as_it_was():
    net = network()
    state, names = copy.deepcopy(net.state_dict()), [n for n, _ in net.named_modules()]
    x = torch.randn(9, 4)
    before = net(x)
    rates = FiringRates(net, [Spike])
    assert hooks(net) == 3
    assert torch.equal(net(x), before)
    assert list(net.state_dict()) == list(state)
    assert [n for n, _ in net.named_modules()] == names
    rates.remove()
    rates.remove()
    assert hooks(net) == 0


def test_the_hooks_are_gone_when_the_object_is_and_keep_no_network_alive():
    net = network()
    rates = FiringRates(net, [Spike])
    net(torch.randn(2, 4))
    del rates
    gc.collect()
    assert hooks(net) == 0
    rates = FiringRates(net, [Spike])
    alive = weakref.ref(net)
    del net
    gc.collect()
    assert alive() is None
    rates.remove()


def test_hooks_are_gone_after_an_error():
    net = network()
    with pytest.raises(RuntimeError), FiringRates(net, [Spike]):
        net(torch.randn(2, 3))
    assert hooks(net) == 0


@pytest.mark.parametrize("kinds", [[nn.Conv2d], [], ["7"]])
def test_nothing_to_watch_is_an_error(kinds):
    with pytest.raises(ArgumentError, match="kinds="):
        FiringRates(network(), kinds)
