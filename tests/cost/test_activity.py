"""Measured activity against counts of our own and SpikingJelly's counter of synaptic operations."""

import pytest
import torch
from spikingjelly.activation_based import layer, neuron
from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter
from torch import nn
from torch.utils.data import Subset

from qsnn_plugins.cost import Activity, ActivityRecorder, measure_activity, report
from qsnn_plugins.cost.neurons import evaluate_batches
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import StringNet
from qsnn_plugins.nn import channel_gates
from qsnn_plugins.spec import PruningSpec, QuantSpec, SpikeSpec
from qsnn_plugins.spikingjelly import QuantLIFNode


def events(*shape):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(0)) < 0.4).float()


@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
def test_rates_and_inputs_are_shares_of_what_passed(host):
    torch.manual_seed(0)
    network = StringNet("6C3-AP2-4C3-GAP-FC3", host=host).eval()
    x = events(4, 3, 2, 8, 8)
    spikes, inputs = [], []
    network.blocks.conv1.neuron.register_forward_hook(lambda *a: spikes.append(a[2]))
    network.blocks.conv2.synapse.register_forward_pre_hook(lambda _, a: inputs.append(a[0]))
    activity = measure_activity(network, [x[:, :2], x[:, 2:]], "events")
    counted = torch.cat([s.flatten() for s in spikes]).mean()
    name = "blocks.conv1.neuron" + ".neuron" * (host == "snntorch")
    assert activity.rates[name] == pytest.approx(float(counted))
    arrived = torch.cat([(i != 0).float().flatten() for i in inputs]).mean()
    assert activity.inputs["blocks.conv2.synapse.0"] == pytest.approx(float(arrived))
    assert activity.inputs["blocks.conv1.synapse.0"] == pytest.approx(float(x.mean()))
    cost = report(network, None, (4, 1, 2, 8, 8), activity=activity)
    assert cost.neurons[0].rate == activity.rates[name]
    assert cost.activity == "events"


def test_synaptic_operations_are_those_of_spikingjelly():
    """Without padding at the thresholds the share of active inputs gives the very number."""
    torch.manual_seed(0)
    network = nn.Sequential(
        layer.Conv2d(2, 8, 1, bias=False, step_mode="m"),
        neuron.LIFNode(step_mode="m", v_threshold=0.2),
        layer.Flatten(step_mode="m"),
        layer.Linear(8 * 36, 20, bias=False, step_mode="m"),
        neuron.LIFNode(step_mode="m", v_threshold=0.1),
        layer.Linear(20, 4, bias=False, step_mode="m"),
    ).eval()
    x = events(5, 1, 2, 6, 6)
    counter = SynOpCounter()
    with torch.no_grad(), DispatchCounterMode([counter]):
        network(x)
    activity = measure_activity(network, [x], "events")
    cost = report(network, None, (5, 1, 2, 6, 6), activity=activity)
    assert min(activity.rates.values()) > 0
    assert cost.synaptic_operations == pytest.approx(counter.get_total())


def test_spikes_of_several_bits_count_once_where_they_fire():
    network = StringNet("6C3-GAP-FC3", spec=QuantSpec(spike=SpikeSpec(bits=3))).eval()
    activity = measure_activity(network, [4 * events(4, 2, 2, 8, 8)], "events")
    assert 0 < activity.rates["blocks.conv1.neuron"] <= 1


@pytest.mark.parametrize("fidelity", ["paper", "released"])
@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
def test_what_is_masked_is_averaged_over_steps_and_samples(host, fidelity):
    pruning = PruningSpec(0.25, channel_threshold=0.5, fidelity=fidelity)
    torch.manual_seed(1)
    network = StringNet("8C3-6C3-GAP-FC3", spec=QuantSpec(pruning=pruning), host=host).eval()
    gate = channel_gates(network)["blocks.conv2.synapse.0"]
    gate.bias.data.copy_(torch.linspace(-0.5, 0.5, 6))
    kept = []
    gate.register_forward_hook(lambda _, inputs, mask: kept.append(mask))
    batches = [events(5, 3, 2, 8, 8), events(2, 1, 2, 8, 8)]
    activity = measure_activity(network, batches, "events")
    name = "blocks.conv1.neuron" + ".neuron" * (host == "snntorch")
    if fidelity == "paper":  # released, the first convolution is gated: closed maps are alike
        assert activity.spatial[name] == pytest.approx(0.25, abs=0.01)
    share = activity.channel["blocks.conv2.synapse.0"]
    assert 0 < share < 1
    assert share == pytest.approx(1 - float(torch.cat(kept).mean()))

    cost = report(network, None, (5, 1, 2, 8, 8), activity=activity)
    rows = {row.name: row for row in cost.synapses}
    conv, predictor = rows["blocks.conv2.synapse.0"], rows["blocks.conv2.synapse.0.gate"]
    assert conv.remaining_macs == pytest.approx(conv.total_macs * (1 - share))
    channels, pooled = (8, 8 * 64) if fidelity == "paper" else (2, 2 * 4)
    assert predictor.kind == "predictor"
    assert predictor.remaining_macs == predictor.total_macs == 5 * channels * 6
    assert predictor.multiplications == predictor.total_macs
    assert predictor.accumulations == predictor.total_macs + 5 * pooled
    (weights,) = (p for p in cost.parameters if p.layer == predictor.name and p.role == "weights")
    assert (weights.count, weights.bits) == (channels * 6, 32)
    plain = sum(row.total_macs for row in cost.synapses if row.kind != "predictor")
    assert cost.share_left == pytest.approx(cost.remaining_macs / plain)
    assert plain == sum(
        row.total_macs
        for row in report(StringNet("8C3-6C3-GAP-FC3"), None, (5, 1, 2, 8, 8)).synapses
    )


@pytest.mark.parametrize("step_mode", ["m", "s"])
def test_what_is_masked_is_read_without_a_hook_that_takes_the_neuron_off_its_kernel(step_mode):
    spec = QuantSpec(pruning=PruningSpec(spatial_ratio=0.25))
    node = QuantLIFNode(step_mode=step_mode, spec=spec)
    network = nn.Sequential(node)
    with ActivityRecorder(network) as recorder:
        assert not node.pruning._forward_hooks
        shares = []
        for x in (torch.randn(5, 2, 3, 4, 4), torch.randn(2, 3, 3, 4, 4)):
            node.reset()
            for step in [x] if step_mode == "m" else x:
                network(step)
            shares += [node.pruning.sparsity()] * (len(x) * x.shape[1])
    found = recorder.activity("noise").spatial["0"]
    assert found == pytest.approx(sum(shares) / len(shares))


def test_inputs_of_every_layer_that_multiplies_are_counted():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.mix = nn.ConvTranspose2d(2, 3, 2), nn.Bilinear(2, 2, 1)

        def forward(self, x):
            return self.up(x), self.mix(x[..., 0], x[..., 1])

    x = torch.zeros(1, 2, 2, 2)
    x[..., 0] = 1
    activity = measure_activity(Both(), [x], "ones and zeros")
    assert activity.inputs == {"up": 0.5, "mix": 0.5}


def test_measuring_leaves_the_network_as_it_was():
    network = StringNet("4C3-GAP-FC3")
    network.blocks.fc1.eval()
    measure_activity(network, [events(2, 1, 2, 6, 6)], "events")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert network.training
    assert not network.blocks.fc1.training


def test_counts_of_devices_add_up():
    network = StringNet("4C3-GAP-FC3").eval()
    with ActivityRecorder(network) as recorder, torch.no_grad():
        network(events(2, 1, 2, 6, 6))
    before = recorder.activity("one").rates
    recorder.merge(lambda count: 2 * count)
    assert recorder.activity("two").rates == before


def test_what_is_not_allowed():
    for arguments in ({"rate": 1.5}, {"rate": 0.1, "spatial": -1}, {"rate": 0.1, "channel": 2}):
        with pytest.raises(ArgumentError, match="from 0 to 1"):
            Activity.uniform(**arguments)
    with pytest.raises(ArgumentError, match="batches=0"):
        measure_activity(StringNet("4C3-GAP-FC3"), [], "nothing")
    data = Subset([events(4, 3, 6)], [0])  # has no __iter__
    assert list(evaluate_batches(nn.Identity(), data)) == [1]
    with pytest.raises(ArgumentError, match="batches='Tensor'"):  # its steps would be the batches
        measure_activity(nn.Linear(6, 2), events(4, 3, 6), "events")
    with pytest.raises(ArgumentError, match="step_mode='x'"):
        measure_activity(nn.Linear(6, 2), [events(4, 3, 6)], "events", step_mode="x")


class Named(nn.Module):
    """A network that passes everything by name."""

    def __init__(self):
        super().__init__()
        spec = QuantSpec(pruning=PruningSpec(spatial_ratio=0.5))
        self.fc, self.sn = nn.Linear(6, 5), QuantLIFNode(spec=spec)

    def forward(self, x):
        return self.sn(x=self.fc(input=x))


def test_inputs_that_are_passed_by_name_are_counted():
    network, x = Named(), events(3, 6)
    with ActivityRecorder(network) as recorder:
        network(x=x)
    activity = recorder.activity("events")
    assert activity.inputs["fc"] == pytest.approx(float(x.mean()))
    assert activity.spatial["sn"] == pytest.approx(0.4)  # 2 of 5


def test_one_step_of_many_is_refused():
    network = nn.Sequential(nn.Linear(6, 5), QuantLIFNode())
    with pytest.raises(ArgumentError, match=r"step_mode='m'.*'s', or a `run`.*of a batch of 4"):
        measure_activity(network, [events(4, 3, 6)], "events")
    as_steps = measure_activity(network, [events(4, 3, 6)], "events", step_mode="s")
    given = measure_activity(network, [events(4, 3, 6)], "events", run=lambda x: [*map(network, x)])
    assert as_steps == given
