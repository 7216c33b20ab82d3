"""LT-SNN keeps the threshold of the first layer fixed: `ThresholdSpec.first_layer`."""

import pytest
import snntorch
import torch
from spikingjelly.activation_based import neuron
from torch import nn

from qsnn_plugins import eject, inject, presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import HostedNet, ResidualNet, StringNet
from qsnn_plugins.spec import QuantSpec, ThresholdSpec

FIXED = QuantSpec(threshold=ThresholdSpec("separate", first_layer="fixed"))


def thresholds(net):
    return [name for name, _ in net.named_parameters() if name.endswith("threshold")]


@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
def test_the_first_threshold_of_a_network_is_fixed(host):
    for build in (
        lambda spec: StringNet("2C3-2C3-GAP-FC2", spec=spec, host=host),
        lambda spec: ResidualNet(20, width=1 / 16, spec=spec, host=host),
    ):
        every = thresholds(build(QuantSpec(threshold=ThresholdSpec("separate"))))
        assert thresholds(build(FIXED)) == every[1:]


def test_injection_fixes_it_too():
    net = nn.Sequential(nn.Linear(2, 2), neuron.LIFNode(), nn.Linear(2, 2), neuron.LIFNode())
    report = inject(net, FIXED)
    assert thresholds(net) == ["3.v_threshold"]
    assert ["threshold fixed: first_layer" in row.note for row in report.replaced] == [True, False]
    hosted = HostedNet("spikformer_2_384", width=1 / 16, spec=FIXED)
    neurons = [m for m in hosted.modules() if hasattr(m, "quant_spec")]
    assert len(thresholds(hosted)) == len(neurons) - 1


@pytest.mark.parametrize("kind", [snntorch.Leaky, snntorch.Lapicque])
def test_a_threshold_that_the_host_learns_is_fixed_too(kind):
    first, second = (kind(0.5, learn_threshold=True, init_hidden=True) for _ in range(2))
    net = nn.Sequential(nn.Linear(2, 2), first, nn.Linear(2, 2), second)
    own = list(net.named_parameters())
    report = inject(net, FIXED)
    assert thresholds(net) == ["3.threshold"]
    assert ["threshold fixed: first_layer" in row.note for row in report.replaced] == [True, False]
    before = net[1].threshold.clone()
    optimizer = torch.optim.SGD(net.parameters(), 1.0)
    net(torch.rand(4, 2) * 9).sum().backward()
    optimizer.step()
    assert torch.equal(net[1].threshold, before)
    assert [name for name, _ in eject(net).named_parameters()] == [name for name, _ in own]
    assert all(mine is theirs for mine, (_, theirs) in zip(net.parameters(), own, strict=True))


def test_a_state_whose_first_threshold_learned_is_refused():
    learned = StringNet("2C3-GAP-FC2", spec=QuantSpec(threshold=ThresholdSpec("separate")))
    with pytest.raises(RuntimeError, match=r"conv1\.neuron: threshold\.learned is True"):
        StringNet("2C3-GAP-FC2", spec=FIXED).load_state_dict(learned.state_dict())


def test_the_codes_form_has_it_and_a_fixed_threshold_does_not_read_it():
    assert presets.spquant(fidelity="released").threshold.first_layer == "fixed"
    assert presets.spquant().threshold.first_layer == "learned"
    with pytest.raises(ArgumentError, match=r"threshold\.first_layer='fixed'"):
        ThresholdSpec(first_layer="fixed")
