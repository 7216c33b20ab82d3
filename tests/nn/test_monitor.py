import copy
import gc
import weakref
from collections import Counter

import pytest
import torch
from torch import nn

from qsnn_plugins.functional import spike_regulation
from qsnn_plugins.nn import ForwardMonitor, Spike


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), Spike(), nn.Linear(8, 5), Spike(), nn.Linear(5, 3), Spike()
    )


def spikes_of(net):
    return {name: module for name, module in net.named_modules() if isinstance(module, Spike)}


def hooks(net):
    return sum(len(module._forward_hooks) for module in net.modules())


def test_rates_are_the_means_of_what_is_sent_out():
    net, x = network(), torch.randn(50, 4)
    with ForwardMonitor(spikes_of(net)) as rates:
        net(x)
        assert list(rates.means()) == ["1", "3", "5"]
        first = net[1](net[0](x)).mean()  # a second forward of the first module alone
        assert rates.means()["1"].item() == pytest.approx(first.item())
        rates.clear()
        assert rates.means() == rates.sums == {}
        net(x)
        net(-x)
    both = (net[:2](x).mean() + net[:2](-x).mean()) / 2
    assert rates.means()["1"].item() == pytest.approx(both.item())


def test_a_loss_over_rates_trains_the_network():
    net = network()
    with ForwardMonitor(spikes_of(net)) as rates:
        net(torch.randn(50, 4))
    spike_regulation(list(rates.means().values())).backward()
    assert net[2].weight.grad.abs().sum() > 0
    with torch.no_grad(), ForwardMonitor(spikes_of(net)) as rates:
        net(torch.randn(5, 4))
    assert not rates.means()["1"].requires_grad


def test_tuples_give_their_first():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x + 1

    net = nn.ModuleDict({"a": Pair(), "b": nn.Identity()})
    with ForwardMonitor({"a": net["a"]}) as rates:
        net["a"](torch.tensor([0.0, 1.0]))
        net["b"](torch.tensor([9.0]))
    assert {name: rate.item() for name, rate in rates.means().items()} == {"a": 0.5}


def test_the_network_is_left_as_it_was():
    net = network()
    state, names = copy.deepcopy(net.state_dict()), [n for n, _ in net.named_modules()]
    x = torch.randn(9, 4)
    before = net(x)
    rates = ForwardMonitor(spikes_of(net))
    assert hooks(net) == 3
    assert torch.equal(net(x), before)
    assert list(net.state_dict()) == list(state)
    assert [n for n, _ in net.named_modules()] == names
    rates.remove()
    rates.remove()
    assert hooks(net) == 0


def test_the_hooks_are_gone_when_the_object_is_and_keep_no_network_alive():
    net = network()
    rates = ForwardMonitor(spikes_of(net))
    net(torch.randn(2, 4))
    del rates
    gc.collect()
    assert hooks(net) == 0
    rates = ForwardMonitor(spikes_of(net))
    alive = weakref.ref(net)
    del net
    gc.collect()
    assert alive() is None
    rates.remove()


def test_hooks_are_gone_after_an_error():
    net = network()
    with pytest.raises(RuntimeError), ForwardMonitor(spikes_of(net)):
        net(torch.randn(2, 3))
    assert hooks(net) == 0


def test_any_reduction_adds_up_and_none_adds_nothing():
    net, x = network(), torch.randn(50, 4)

    def count(module, inputs, output):
        return Counter(output.flatten().tolist())

    def shapes(module, inputs, output):
        return [tuple(inputs[0].shape)] if len(inputs[0]) > 1 else None

    watched = {"last": net[5], "first": net[1]}
    with ForwardMonitor(watched, count) as counts, ForwardMonitor(watched, shapes) as seen:
        net(x)
        last = net(x[:1])
        net(x)
    assert list(counts.sums) == ["last", "first"]  # in the order of `modules`
    assert counts.sums["last"][1.0] == 2 * net(x).sum() + last.sum()
    assert counts.sums["first"].total() == 101 * 8
    assert seen.sums == {"last": [(50, 3), (50, 3)], "first": [(50, 8), (50, 8)]}
    seen.apply(len)
    assert seen.means() == {"last": 1, "first": 1}
