"""Multiply-accumulations against counters that we did not write, and who takes whose spikes."""

import numpy as np
import pytest
import snntorch
import torch
from spikingjelly.activation_based import layer, neuron
from spikingjelly.activation_based.op_counter import DispatchCounterMode, FlopCounter
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.flop_counter import FlopCounterMode

from qsnn_plugins import presets
from qsnn_plugins.cost import Activity, OperationEnergy, measure_activity, report
from qsnn_plugins.models import NETWORK_STRINGS, HostedNet, ResidualNet, StringNet, string_net
from qsnn_plugins.spikingjelly import inject
from qsnn_plugins.spikingjelly.networks import NETWORKS

STEPS = 2
SPEC = presets.imsnn(weight_bits=2)
RATE = Activity.uniform(0.1)


def every_network():
    for name, known in NETWORK_STRINGS.items():
        frame = (known.in_channels, *known.input_size)
        yield pytest.param(lambda name=name: string_net(name, spec=SPEC), frame, id=name)
    for depth in (18, 19, 20, 34):
        build = lambda depth=depth: ResidualNet(depth, spec=SPEC)  # noqa: E731
        yield pytest.param(build, (3, 32, 32), id=f"resnet{depth}")
    for name in NETWORKS:
        build = lambda name=name: HostedNet(name, input_size=(64, 64), spec=SPEC)  # noqa: E731
        yield pytest.param(build, (3, 64, 64), id=name)
    build = lambda: StringNet("4C3-8DW-AP2-GAP-FC6-FC3", host="snntorch")  # noqa: E731
    yield pytest.param(build, (2, 8, 8), id="snntorch")


CLONE = torch.Tensor.clone


def on_meta_only(tensor, *args, **kwargs):
    assert tensor.device.type == "meta"
    return CLONE(tensor, *args, **kwargs)


@pytest.mark.slow
@pytest.mark.parametrize(("build", "frame"), list(every_network()))
def test_macs_are_those_of_two_other_counters(build, frame, monkeypatch):
    network = build().eval()
    shape = (STEPS, 1, *frame)
    monkeypatch.setattr(torch.Tensor, "clone", on_meta_only)  # no network falls back to values
    cost = report(network, None, shape)
    monkeypatch.undo()
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            module.bias = None  # SpikingJelly counts its addition too
    network.to("meta")
    network.reset_states()
    x = torch.zeros(shape, device="meta")
    theirs = FlopCounter()
    with torch.no_grad(), FlopCounterMode(display=False) as torchs, DispatchCounterMode([theirs]):
        network(x)
    products = ("convolution", "mm", "addmm", "bmm", "baddbmm")
    flops = sum(n for op, n in theirs.records["Global"].items() if op._opname in products)
    assert (cost.macs + cost.product_macs) * STEPS == torchs.get_total_flops() / 2 == flops / 2


@pytest.mark.parametrize(
    ("build", "frame", "parameters", "macs"),
    [
        # counted by hand from the layers: TET's and Q-SNN's ResNet-19, TET's VGGSNN, MINT's VGG-16
        (lambda: ResidualNet(19, stem_channels=64), (3, 32, 32), 12_630_858, 2.216e9),
        (lambda: ResidualNet(19, hidden_features=0), (3, 32, 32), 12_569_226, 2.285e9),
        (lambda: string_net("vggsnn"), (2, 48, 48), 9_271_498, 1.362e9),
        (lambda: string_net("vgg16_cifar"), (3, 32, 32), 14_724_042, 0.313e9),
        (lambda: HostedNet("spikformer_4_384"), (3, 32, 32), None, 0.9215e9),
        (lambda: HostedNet("spikformer_4_256"), (3, 32, 32), None, 0.410e9),
    ],
)
def test_known_networks(build, frame, parameters, macs):
    cost = report(build(), None, (1, 1, *frame))
    assert cost.macs == pytest.approx(macs, rel=1e-3)
    assert parameters is None or cost.count() == parameters


def test_sources_are_followed_through_pooling_residuals_and_attention():
    cost = report(HostedNet("spikformer_2_384", spec=SPEC), None, (STEPS, 1, 3, 32, 32))
    by_name = {s.name.removeprefix("blocks.host."): s for s in cost.synapses}
    first = by_name["patch_embed.stages.0.conv_bn.block.0"]
    assert first.multiplies
    assert not any(s.multiplies for s in cost.synapses if s is not first)
    attention = by_name["blocks.0.attn (product)"]
    assert attention.kind == "product"
    assert attention.takes == ("blocks.host.blocks.0.attn.qkv_lif",)
    assert attention.feeds == ("blocks.host.blocks.0.attn.attn_lif",)
    # the residual sum brings the spikes of both branches
    assert by_name["blocks.0.attn.qkv_conv_bn.0"].takes == (
        "blocks.host.patch_embed.positional_encoding.neuron",
        "blocks.host.patch_embed.stages.3.neuron",
    )


def test_sums_that_have_not_fired_multiply():
    cost = report(StringNet("4C3-8DW-GAP-FC3"), None, (STEPS, 1, 2, 6, 6))
    depthwise, pointwise = (s for s in cost.synapses if "conv2" in s.name)
    assert not depthwise.multiplies
    assert depthwise.feeds == ()
    assert pointwise.multiplies
    assert pointwise.feeds == ("blocks.conv2.neuron",)


def test_both_branches_feed_the_neuron_of_a_residual_block():
    cost = report(ResidualNet(20, width=0.25), None, (1, 1, 3, 16, 16))
    shortcuts = [s for s in cost.synapses if "shortcut" in s.name]
    assert len(shortcuts) == 2
    for shortcut in shortcuts:
        (fed,) = shortcut.feeds
        branches = [s.name.rpartition(".")[0] for s in cost.synapses if fed in s.feeds]
        block = fed.rpartition(".")[0]
        assert sorted(branches) == [f"{block}.shortcut", f"{block}.synapse2"]
        assert not shortcut.multiplies


class Recorded(nn.Module):
    """Spikes of all steps, gathered one by one, go through the second layer together."""

    def __init__(self, gather):
        super().__init__()
        self.first, self.sn = nn.Linear(4, 5), neuron.IFNode()
        self.second, self.last = nn.Linear(5, 3), neuron.IFNode(step_mode="m")
        self.gather = gather

    def forward(self, x):
        spikes = x.new_zeros(*x.shape[:2], 5)
        for step in range(len(x)):
            self.gather(spikes, step, self.sn(self.first(x[step])))
        return self.last(self.second(spikes))


def into_the_middle(x, step, spikes):
    x[step][:, 1:4] = spikes[:, 1:4]


def into_a_part_of_all(x, step, spikes):
    x.unbind()[step].add_(spikes)


@pytest.mark.parametrize("gather", [torch.Tensor.__setitem__, into_the_middle, into_a_part_of_all])
def test_spikes_that_are_gathered_in_place_stay_spikes(gather):
    cost = report(Recorded(gather), None, (4, 1, 4), activity=0.1)
    first, second = cost.synapses
    assert (second.takes, second.multiplies, second.activity) == (("sn",), False, 0.1)
    assert (first.feeds, second.feeds) == (("sn",), ("last",))
    assert second.accumulations == pytest.approx(4 * 5 * 3 * 0.1)


@pytest.mark.parametrize("kind", ["GatedLIFNode", "DSRLIFNode", "PSN", "MaskedPSN", "SlidingPSN"])
def test_neurons_of_spikingjelly_without_its_base_are_neurons(kind):
    if not hasattr(neuron, kind):
        pytest.skip(f"this SpikingJelly has no {kind}")
    given = {
        "MaskedPSN": {"k": 2, "T": 3, "step_mode": "m"},
        "SlidingPSN": {"k": 2, "step_mode": "m"},
    }
    spiking = getattr(neuron, kind)(**given.get(kind, {"T": 3}))
    cost = report(nn.Sequential(nn.Linear(4, 6), spiking, nn.Linear(6, 2)), None, (3, 1, 4))
    assert [(n.name, n.count) for n in cost.neurons] == [("1", 6)]
    assert cost.time_steps == 3
    assert (cost.synapses[-1].takes, cost.synapses[-1].multiplies) == (("1",), False)


@pytest.mark.parametrize(("kind", "states"), [("ActivationAwareIFNode", 1), ("STBIFNode", 3)])
def test_neurons_of_spikingjelly_with_memories_alone_are_neurons(kind, states):
    if not hasattr(neuron, kind):
        pytest.skip(f"this SpikingJelly has no {kind}")
    given = (torch.ones(6), torch.zeros(6)) if states == 1 else (torch.tensor(0.5), 7)
    spiking = getattr(neuron, kind)(*given, step_mode="m")
    cost = report(nn.Sequential(nn.Linear(4, 6), spiking, nn.Linear(6, 2)), None, (3, 1, 4))
    assert [(n.name, n.count, n.states) for n in cost.neurons] == [("1", 6, states)]
    assert (cost.synapses[-1].takes, cost.uncounted) == (("1",), {})


def test_states_that_are_not_counted_are_named():
    steps = {"step_mode": "m"}
    parts = neuron.LIFNode(**steps), layer.Dropout(**steps), layer.SynapseFilter(**steps)
    network = nn.Sequential(nn.Linear(4, 6), *parts, neuron.NonSpikingLIFNode(decode="max-mem"))
    cost = report(network, None, (3, 1, 4))
    assert [n.name for n in cost.neurons] == ["1"]
    assert cost.uncounted == {"3": "SynapseFilter", "4": "NonSpikingLIFNode"}
    assert cost.to_dict()["uncounted"] == cost.uncounted
    assert "not counted states" in str(cost)
    assert "of 3 (SynapseFilter), 4 (NonSpikingLIFNode)" in " ".join(str(cost).split())
    assert "any, of (SynapseFilter)" in str(report(layer.SynapseFilter(**steps), None, (3, 1, 4)))


@pytest.mark.parametrize("step_mode", ["s", "m"])
def test_what_waits_in_a_list_is_a_state(step_mode):
    delay = layer.Delay(2, step_mode=step_mode)
    network = nn.Sequential(nn.Linear(4, 6), delay, neuron.LIFNode(step_mode=step_mode))
    assert report(network, None, (3, 1, 4), step_mode=step_mode).uncounted == {"1": "Delay"}


def test_unknown_synops_beside_a_known_energy_are_a_question_mark():
    """Dense inputs are multiplied whatever they are; how many are 0 is not known."""
    cost = report(nn.Sequential(nn.Linear(4, 6), neuron.LIFNode(step_mode="m")), None, (3, 1, 4))
    assert cost.synaptic_operations is None
    assert cost.energy()
    assert "operations  ? SynOps" in str(cost)


def test_a_parallel_neuron_of_snntorch_takes_all_steps():
    network = nn.Sequential(nn.Linear(4, 5), snntorch.LeakyParallel(5, 6), nn.Linear(6, 2))
    measured = measure_activity(network, [torch.ones(3, 1, 4)], "ones")
    cost = report(network, None, (3, 1, 4), activity=measured)
    assert [(n.name, n.count) for n in cost.neurons] == [("1", 6)]
    assert (cost.synapses[-1].takes, cost.synapses[-1].multiplies) == (("1",), False)


def test_counts_and_shares_are_numpys_too():
    given = {"input_shape": np.array([3, 1, 4]), "time_steps": np.int64(3)}
    network = nn.Sequential(nn.Linear(4, 5), neuron.LIFNode(step_mode="m"), nn.Linear(5, 2))
    one = report(network, None, **given, activity=np.float32(0.5))
    assert (one.macs, one.time_steps) == (30, 3)
    assert {type(one.macs), type(one.time_steps)} == {int}  # for JSON
    assert OperationEnergy(np.float32(0.5), 2).add == 0.5


def test_recurrent_spikes_are_spikes():
    neurons = snntorch.RLeaky(0.9, linear_features=5, init_hidden=True)
    cost = report(nn.Sequential(nn.Linear(4, 5), neurons), None, (3, 1, 4), step_mode="s")
    (recurrent,) = (s for s in cost.synapses if s.name == "1.recurrent")
    assert (recurrent.macs, recurrent.takes, recurrent.multiplies) == (25, ("1",), False)


class Attention(nn.Module):
    """Attention as torch has it: projections and products in one function."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2)

    def forward(self, x_seq):
        x = x_seq.flatten(0, 1)
        return self.attention(x, x, x, need_weights=False)[0]


def test_attention_of_torch_is_counted():
    network = Attention().eval()
    cost = report(network, None, (2, 1, 5, 8))
    # four projections of 5 tokens, and two products of 2 x 2 tokens in 5 batches
    assert cost.macs * 2 == 10 * 8 * 8 * 4
    assert cost.product_macs * 2 == 5 * 2 * 2 * 8 * 2


class Pair(nn.Module):
    """A bilinear layer of 5 and 4 inputs: of the spikes, and of them or the network's input."""

    def __init__(self, of_spikes):
        super().__init__()
        self.sn, self.pair, self.of_spikes = neuron.IFNode(), nn.Bilinear(5, 4, 3), of_spikes

    def forward(self, x):
        spikes = self.sn(x)
        return self.pair(spikes, (spikes if self.of_spikes else x)[:, :4])


@pytest.mark.parametrize("of_spikes", [True, False])
def test_a_bilinear_layer_is_counted(of_spikes):
    (pair,) = report(Pair(of_spikes), None, (2, 1, 5), step_mode="s", activity=0.1).synapses
    assert (pair.name, pair.kind, pair.macs) == ("pair", "linear", 5 * 4 * 3)
    assert pair.takes == ("sn",)
    assert pair.multiplies is not of_spikes  # an input that is no spike is still to be multiplied


@pytest.mark.parametrize(
    ("multiply", "macs"),
    [
        (torch.mv, 3 * 5),
        (lambda weight, x: torch.addmv(torch.zeros(3, device=x.device), weight, x), 3 * 5),
        (lambda weight, x: nn.functional.linear(x, weight), 3 * 5),
        (lambda weight, x: weight[0].dot(x), 5),
    ],
    ids=["mv", "addmv", "linear", "dot"],
)
def test_products_with_vectors_are_counted(multiply, macs):
    network = Functional(lambda head, x: multiply(head.weight[:3], x.flatten()))
    cost = report(network, None, (2, 1, 6), step_mode="s")
    assert [(s.name, s.macs) for s in cost.synapses] == [("fc", 6 * 5), ("head", macs)]


def test_networks_of_the_host_are_counted_as_they_are():
    from spikingjelly.activation_based import functional, surrogate
    from spikingjelly.activation_based.model import spiking_resnet

    network = spiking_resnet.spiking_resnet18(
        spiking_neuron=neuron.IFNode, surrogate_function=surrogate.ATan(), num_classes=10
    )
    functional.set_step_mode(network, "m")
    cost = report(network, None, (2, 1, 3, 64, 64))
    assert cost.count() == sum(p.numel() for p in network.parameters())
    assert {n.membrane_bits for n in cost.neurons} == {32}
    assert len(cost.neurons) == 17
    assert [s.multiplies for s in cost.synapses].count(True) == 1


class LooksAtValues(nn.Module):
    """A network whose path depends on a value, which no meta tensor has."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(x) if float(x.sum()) < 1 else x


@pytest.mark.parametrize("name", ["spectral_norm", "orthogonal"])
def test_what_makes_a_weight_is_no_operation(name):
    linear = getattr(parametrizations, name)(nn.Linear(6, 5))
    assert report(linear, None, (2, 1, 6)).macs == 6 * 5


def test_a_network_that_looks_at_values_runs_with_zeros():
    assert report(LooksAtValues(), None, (3, 1, 4)).macs == 8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("build", [LooksAtValues, lambda: StringNet("4C3-GAP-FC3", spec=SPEC)])
def test_a_network_of_another_dtype_costs_the_same(build, dtype):
    shape = (3, 1, 4) if build is LooksAtValues else (3, 1, 2, 6, 6)
    network = build()
    expected = report(network, None, shape, activity=0.1)
    assert report(network.to(dtype), None, shape, activity=0.1) == expected
    assert {p.dtype for p in network.parameters()} == {dtype}


def test_tokens_are_counted():
    network = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3), neuron.IFNode())
    cost = report(network, None, (2, 1, 5), step_mode="s")  # 5 tokens in each of 2 steps
    assert cost.macs == 5 * 4 * 3
    assert [n.count for n in cost.neurons] == [5 * 3]


class Functional(nn.Module):
    """A network that multiplies by the weight of a layer without calling it."""

    def __init__(self, multiply):
        super().__init__()
        self.fc, self.sn, self.head = nn.Linear(6, 5), neuron.LIFNode(), nn.Linear(5, 4, bias=False)
        self.multiply = multiply

    def forward(self, x):
        return self.multiply(self.head, self.sn(self.fc(x)))


@pytest.mark.parametrize("spec", [None, SPEC])
@pytest.mark.parametrize(
    "multiply",
    [lambda head, x: nn.functional.linear(x, head.weight), lambda head, x: x @ head.weight.mT],
)
def test_a_weight_counts_for_its_layer_whoever_multiplies(multiply, spec):
    costs = []
    for each in (nn.Module.__call__, multiply):
        network = Functional(each)
        if spec is not None:
            inject(network, spec)
        costs.append(report(network, None, (4, 1, 6), activity=RATE, step_mode="s"))
    assert str(costs[0]) == str(costs[1])
    assert [row.name for row in costs[1].synapses] == ["fc", "head"]
