"""inject() on networks of snnTorch that nobody here wrote for it."""

import copy
import warnings

import numpy as np
import pytest
import snntorch
import torch
from snntorch import surrogate
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.snntorch import (
    MultiStep,
    QuantLapicque,
    QuantLeaky,
    StateQuant,
    TernaryLeaky,
    eject,
    inject,
    reset_net,
)
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec, SpikeSpec, ThresholdSpec
from tests.snntorch.kinds import rate_is_alive, steps


def tutorial_network():
    """The convolutional network of snnTorch's tutorial 6, a block of it nested."""
    torch.manual_seed(0)
    grad = surrogate.fast_sigmoid(slope=25)
    first = nn.Sequential(
        nn.Conv2d(1, 12, 5),
        nn.MaxPool2d(2),
        snntorch.Leaky(beta=0.5, spike_grad=grad, init_hidden=True),
    )
    second = nn.Sequential(
        nn.Sequential(nn.Conv2d(12, 64, 5), nn.MaxPool2d(2)),
        snntorch.Leaky(beta=0.5, spike_grad=grad, init_hidden=True),
    )
    return nn.Sequential(
        first,
        second,
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 10),
        snntorch.Leaky(beta=0.5, spike_grad=grad, init_hidden=True, output=True),
    )


def images(scale=1.5):
    return torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(1)) * scale


def run(net, x, length=5):
    """The forward pass of the tutorial."""
    reset_net(net)
    spk_rec, mem_rec, hidden = [], [], []
    handle = net[0][2].register_forward_hook(lambda _, __, out: hidden.append(out))
    for _ in range(length):
        spk, mem = net(x)
        spk_rec.append(spk)
        mem_rec.append(mem)
    handle.remove()
    if isinstance(net[0][2], QuantLeaky):
        assert rate_is_alive(torch.stack(hidden)), torch.stack(hidden).mean()
    return torch.stack(spk_rec), torch.stack(mem_rec), torch.stack(hidden)


SPECS = {
    "imsnn": presets.imsnn(),
    "spquant": presets.spquant(),
    "qsnn": presets.qsnn(2),
    "bit_budget": presets.bit_budget(4, 2),
    "channels": QuantSpec(threshold=ThresholdSpec("ordinary", per="channel")),
}


@pytest.mark.filterwarnings("ignore:the step's maximum")
@pytest.mark.parametrize("name", SPECS)
def test_the_tutorial_network_trains_round_trips_and_comes_back(name):
    spec, x = SPECS[name], images()
    net = tutorial_network()
    before = copy.deepcopy(net.state_dict())
    expected = run(net, x)
    reset_net(net)
    old = dict(net.named_modules())
    needs_example = spec.pruning.prunes or spec.threshold.per == "channel"
    report = inject(net, spec, example_input=x if needs_example else None)
    assert sorted(r.names for r in report.replaced) == [("0.2",), ("1.1",), ("4",)]
    assert not report.left
    assert len(report.weights) == (3 if spec.weight.kind != "float" else 0)
    neurons = [net[0][2], net[1][1], net[4]]
    assert all(type(n) is QuantLeaky and n.quant_spec == spec for n in neurons)

    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    spk, mem, _ = run(net, x)
    assert spk.shape == mem.shape == (5, 2, 10)
    loss = nn.functional.cross_entropy((spk + mem).sum(0), torch.tensor([3, 7]))
    loss.backward()
    for parameter_name, parameter in net.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
    optimizer.step()
    reset_net(net)
    net.eval()
    twin = tutorial_network()
    inject(twin, spec, example_input=x if needs_example else None)
    assert not all(map(torch.equal, run(twin.eval(), x), run(net, x)))
    twin.load_state_dict(net.state_dict())
    assert all(map(torch.equal, run(twin, x), run(net, x)))

    learned = [key for key in before if "bias" in key]
    assert eject(net.train()) is net
    assert dict(net.named_modules()) == old
    assert net.state_dict().keys() == before.keys()
    for key in learned:
        assert not torch.equal(net.state_dict()[key], before[key])
    with torch.no_grad():
        net.load_state_dict(before)
    assert all(map(torch.equal, run(net, x), expected))


def test_what_the_neurons_are_is_kept():
    leaky = snntorch.Leaky(
        beta=torch.tensor(0.7),
        threshold=torch.rand(8) + 0.5,
        learn_beta=True,
        learn_threshold=True,
        reset_mechanism="zero",
        reset_delay=False,
        output=True,
        init_hidden=True,
        graded_spikes_factor=0.5,
        spike_grad=surrogate.fast_sigmoid(7),
    )
    net = nn.Sequential(nn.Linear(4, 8), leaky).eval().double()
    calls = []
    handle = leaky.register_forward_hook(lambda *_: calls.append(1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    report = inject(net, QuantSpec())
    (replaced,) = report.replaced
    assert (replaced.before, replaced.after, replaced.bits) == ("Leaky", "QuantLeaky", 2)
    absolute = "levels are absolute: it has no one finite threshold"
    assert replaced.note == f"surrogate fast_sigmoid -> triangle, {absolute}"
    new = net[1]
    for name in ("beta", "threshold"):
        assert getattr(new, name) is getattr(leaky, name)
    for name in ("reset_mechanism", "reset_delay", "output", "init_hidden", "training"):
        assert getattr(new, name) == getattr(leaky, name)
    assert new.graded_spikes_factor.item() == 0.5
    x = torch.randn(3, 4, dtype=torch.float64) * 4
    spk, mem = net(x)
    assert spk.dtype == mem.dtype == torch.float64
    assert calls == [1]
    handle.remove()
    (spk.sum() + mem.sum()).backward()
    optimizer.step()
    state = net.state_dict()
    net.load_state_dict(
        {k: torch.ones_like(v) if v.is_floating_point() else v for k, v in state.items()}
    )
    eject(net)
    assert net[1] is leaky
    assert leaky.graded_spikes_factor.item() == 0.5  # the new neuron's was loaded


@pytest.mark.parametrize("how", ["subtract", "zero", "none"])
@pytest.mark.parametrize("made_of", [{"beta": 0.8}, {"R": 3.0, "C": 1.5}, {"beta": 0.7, "R": 3}])
def test_lapicque_keeps_its_leak_and_its_reset(made_of, how):
    torch.manual_seed(0)
    lapicque = snntorch.Lapicque(**made_of, threshold=0.6, reset_mechanism=how)
    net = nn.Sequential(nn.Identity(), lapicque)
    x = torch.randn(12, 300) * 2
    expected = steps(net, x)
    assert rate_is_alive(expected[0])
    reset_net(net)
    spec = QuantSpec(MembraneSpec(kind="clip", lower=-1e9, upper=1e9))
    inject(net, spec, keep_surrogate=True)
    assert type(net[1]) is QuantLapicque
    spk, mem = steps(net, x)
    assert torch.equal(spk, expected[0])
    torch.testing.assert_close(mem, expected[1], rtol=1e-5, atol=1e-6)


class WithLapicque(nn.Module):
    """Network that asks its neuron for its first membrane, as the host's tutorials do."""

    def __init__(self, **made_of):
        super().__init__()
        self.lif = snntorch.Lapicque(**made_of)

    def forward(self, x_seq):
        mem, results = self.lif.init_lapicque(), []
        for x in x_seq:
            spk, mem = self.lif(x, mem)
            results.append((spk, mem))
        return tuple(torch.stack(part) for part in zip(*results, strict=True))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("made_of", [{"beta": 0.8}, {"R": 3.0, "C": 1.5}])
def test_a_network_with_lapicque_runs_and_loads_its_float_state(made_of, strict):
    torch.manual_seed(0)
    x = torch.randn(12, 300) * 8
    trained, net = WithLapicque(**made_of), WithLapicque(beta=0.6)
    expected = trained(x)
    assert rate_is_alive(expected[0])
    inject(net, QuantSpec(MembraneSpec(kind="clip", lower=-1e9, upper=1e9)))
    with pytest.warns(UserWarning, match="float network"):
        assert str(net.load_state_dict(trained.state_dict(), strict=strict)).startswith("<All")
    spk, mem = net(x)
    assert torch.equal(spk, expected[0])
    torch.testing.assert_close(mem, expected[1], rtol=1e-5, atol=1e-6)
    assert net.lif.init_lapicque().count_nonzero() == 0


def test_shared_neurons_stay_shared_and_wrapped_ones_are_found():
    shared = snntorch.Leaky(0.5, init_hidden=True)
    wrapped = MultiStep(snntorch.Leaky(0.5, init_hidden=True))
    net = nn.ModuleList([nn.Sequential(shared, nn.Linear(2, 2)), shared, wrapped])
    report = inject(net, QuantSpec())
    assert [set(r.names) for r in report.replaced] == [{"0.0", "1"}, {"2.neuron"}]
    assert net[0][0] is net[1]
    assert wrapped(torch.rand(3, 1, 2)).shape == (3, 1, 2)


@pytest.mark.filterwarnings("ignore:Inhibition", "ignore:6 neurons left alone")
def test_what_cannot_be_kept_is_left_alone_and_said():
    class Mine(snntorch.Leaky):
        pass

    left = {
        "one of qsnn_plugins": TernaryLeaky(0.5),
        "subclass of Leaky": Mine(0.5),
        "Leaky and Lapicque": snntorch.Synaptic(0.5, 0.5),
        "state_quant": snntorch.Leaky(0.5, state_quant=StateQuant(MembraneSpec())),
        "inhibition": snntorch.Leaky(0.5, inhibition=True),
        "-0.204": snntorch.Lapicque(beta=0.3),
    }
    net = nn.ModuleList([snntorch.Leaky(0.5), *left.values()])
    report = inject(net, QuantSpec())
    assert [r.names for r in report.replaced] == [("0",)]
    for why, row in zip(left, report.left, strict=True):
        assert why in row.why
    for alone in (snntorch.Synaptic(0.5, 0.5), snntorch.LeakyParallel(2, 2)):
        with pytest.raises(ArgumentError, match="left alone, Leaky and Lapicque can be replaced"):
            inject(nn.Sequential(alone), QuantSpec())


@pytest.mark.parametrize(
    ("match", "make", "spec"),
    [
        ("a neuron alone", lambda: snntorch.Leaky(0.5), QuantSpec()),
        ("neurons that can be replaced", lambda: nn.Sequential(nn.ReLU()), QuantSpec()),
        ("spec='ternary'", tutorial_network, "ternary"),
        ("example_input=None", tutorial_network, SPECS["channels"]),
        (
            "example_input=None",
            tutorial_network,
            QuantSpec(pruning=PruningSpec(channel_threshold=0.4)),
        ),
        (r"\.?reset_delay=True", tutorial_network, QuantSpec(spike=SpikeSpec(bits=2))),
    ],
)
def test_mistakes_are_named_and_change_nothing(match, make, spec):
    net = make()
    before = dict(net.named_modules())
    with pytest.raises(ArgumentError, match=match):
        inject(net, spec)
    assert dict(net.named_modules()) == before


def test_twice_and_never_are_refused():
    net = tutorial_network()
    with pytest.raises(ArgumentError, match="injected"):
        eject(net)
    inject(net, QuantSpec())
    with pytest.raises(ArgumentError, match="eject first"):
        inject(net, QuantSpec())


def test_neurons_of_the_other_host_are_refused():
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    with pytest.raises(ArgumentError, match=r"spikingjelly: qsnn_plugins\.inject takes"):
        inject(nn.Sequential(neuron.LIFNode()), QuantSpec())


def test_ejected_neurons_are_where_the_network_is():
    network = nn.Sequential(nn.Linear(4, 4), snntorch.Leaky(torch.rand(4), init_hidden=True))
    inject(network, "imsnn")
    network.double()
    assert eject(network)[1].beta.dtype == torch.float64
    inject(network, "imsnn")
    network.to("meta")
    assert eject(network)(torch.rand(2, 4, dtype=torch.float64, device="meta")).is_meta


def test_ejected_neurons_have_what_a_loaded_state_brought():
    def build(beta, **options):
        lif = snntorch.Leaky(beta, init_hidden=True, **options)
        lapicque = snntorch.Lapicque(0.9, init_hidden=True)
        return nn.Sequential(nn.Linear(4, 4), lif, nn.Linear(4, 4), lapicque)

    trained, network = build(0.9, graded_spikes_factor=2.0), build(0.5)
    inject(trained, "imsnn")
    inject(network, "imsnn")
    network.load_state_dict(trained.state_dict())
    eject(network, baked=True)
    eject(trained, baked=True)
    assert (network[1].beta, network[1].graded_spikes_factor) == (torch.tensor(0.9), 2.0)
    x = 4 * torch.rand(5, 3, 4)
    assert torch.equal(*(torch.stack([each(step) for step in x]) for each in (network, trained)))
    beyond = build(1.5)
    inject(beyond, "imsnn")
    assert eject(beyond, baked=True)[1].beta == 1.5


def test_a_float_threshold_that_levels_are_not_for_is_warned_of():
    def build(threshold=1.0):
        lif = snntorch.Leaky(0.9, threshold=threshold, init_hidden=True, learn_threshold=True)
        return nn.Sequential(nn.Linear(4, 4), lif)

    state, late, early = build(0.5).state_dict(), build(), build(0.5)
    inject(late, "imsnn")
    with pytest.warns(UserWarning, match="another threshold of 1 than 1, .*before inject"):
        late.load_state_dict(state)
    inject(early, "imsnn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        early.load_state_dict(state)


def test_numbers_that_were_given_as_integers_learn_and_come_back_whole():
    """The host keeps an integer, as in its tutorial's threshold=20000; of that nothing learns."""
    host = snntorch.Leaky(beta=1, threshold=2, graded_spikes_factor=3, init_hidden=True)
    network = nn.Sequential(nn.Linear(4, 4), host)
    inject(network, QuantSpec(threshold=ThresholdSpec("ordinary")))
    assert {network[1].threshold.dtype, network[1].beta.dtype} == {torch.float32}
    network[1].threshold.data.fill_(1.75)
    network[1].graded_spikes_factor.fill_(2.5)
    eject(network, baked=True)
    assert (host.threshold, host.graded_spikes_factor, host.beta) == (1.75, 2.5, 1)
    assert QuantLapicque(leak=1, gain=0.25).gain == 0.25


@pytest.mark.parametrize("given", [1, np.int64(1), [1], torch.tensor([1])])
def test_whatever_holds_an_integer_learns(given):
    learning = {f"learn_{name}": True for name in ("beta", "threshold", "graded_spikes_factor")}
    node = QuantLeaky(given, given, graded_spikes_factor=given, **learning)
    values = torch.stack([parameter.reshape(()) for parameter in node.parameters()])
    assert values.tolist() == [1.0, 1.0, 1.0]
