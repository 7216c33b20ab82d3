"""Inputs of a half grid often charge a membrane to exactly V_th: both rules, against numpy."""

import numpy as np
import pytest
import torch
from snntorch import Leaky
from spikingjelly.activation_based import neuron, surrogate
from torch import nn

from qsnn_plugins import export, inject, presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import RELEASED_LEVELS
from qsnn_plugins.models import TimeDistributed
from qsnn_plugins.nn import Spike
from qsnn_plugins.snntorch import MultiStep, QuantLeaky
from qsnn_plugins.spec import MembraneSpec, QuantSpec, SpikeSpec, WeightSpec
from qsnn_plugins.spikingjelly import QuantLIFNode

RULES = ("host", "greater_equal", "greater")
MEMBRANES = {"float": None, "ternary": (-1.0, 0.0, 1.0), "released": RELEASED_LEVELS}


def half_grid(shape=(6, 4, 50), seed=0):
    return np.random.default_rng(seed).integers(-4, 6, shape) / 2.0


def steps(x_seq, levels, bits, at_threshold):
    """u[t] = 0.5 u[t-1] + x[t], fire, hard reset, nearest level; ties go to the lower one."""
    u, spikes = np.zeros_like(x_seq[0]), []
    for x in x_seq:
        u = 0.5 * u + x
        count = np.floor(u) if at_threshold else np.ceil(u) - 1
        spikes.append(count.clip(0, 2**bits - 1))
        u = np.where(spikes[-1] > 0, 0.0, u)
        if levels is not None:
            distances = np.abs(u[..., None] - np.array(levels))
            u = np.array(levels)[distances.argmin(-1)]
    return np.stack(spikes)


def spec_of(membrane, bits, rule):
    levels = MEMBRANES[membrane]
    stored = MembraneSpec(kind="float") if levels is None else MembraneSpec(levels=levels)
    return QuantSpec(stored, SpikeSpec(bits=bits, comparison=rule))


def jelly(spec, step_mode="m"):
    return QuantLIFNode(step_mode=step_mode, spec=spec)


def single_steps(spec):
    node = jelly(spec, "s")
    return lambda x_seq: torch.stack([node(x) for x in x_seq])


def snntorch(spec):
    lif = QuantLeaky(0.5, init_hidden=True, reset_mechanism="zero", reset_delay=False, spec=spec)
    return MultiStep(lif)


@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("membrane", MEMBRANES)
@pytest.mark.parametrize(
    ("build", "fires_by_itself"), [(jelly, True), (single_steps, True), (snntorch, False)]
)
def test_both_rules_are_numpys(build, fires_by_itself, membrane, bits):
    x_seq, sent = half_grid(), {}
    for rule in RULES:
        spikes = build(spec_of(membrane, bits, rule))(torch.tensor(x_seq, dtype=torch.float32))
        at = fires_by_itself if rule == "host" else rule == "greater_equal"
        sent[rule] = steps(x_seq, MEMBRANES[membrane], bits, at)
        assert (spikes.numpy() == sent[rule]).all(), rule
    assert (sent["greater"] != sent["greater_equal"]).mean() > 0.05


@pytest.mark.parametrize("late", ["zero", "subtract"])
def test_a_late_reset_knows_of_spikes_at_the_threshold(late):
    x_seq = half_grid((5, 3, 40)).astype(np.float32)
    for rule in RULES:
        lif = QuantLeaky(
            0.5, init_hidden=True, reset_mechanism=late, spec=spec_of("ternary", 1, rule)
        )
        spikes = MultiStep(lif)(torch.tensor(x_seq)).numpy()
        q = before = np.zeros_like(x_seq[0])
        for x, sent in zip(x_seq, spikes, strict=True):
            u = np.float32(0.5) * (q * (1 - before) if late == "zero" else q) + x
            u = u - before if late == "subtract" else u
            before = (u >= 1 if rule == "greater_equal" else u > 1).astype(np.float32)
            assert (sent == before).all(), rule
            q = np.float32((-1, 0, 1))[np.abs(u[..., None] - np.float32((-1, 0, 1))).argmin(-1)]
            q = np.where(before, np.nextafter(np.float32(1), np.float32(2)), q.clip(max=1))


def test_released_codes_fire_above_the_threshold_and_papers_by_the_hosts_rule():
    for preset in (presets.imsnn, presets.spquant, presets.qsnn):
        assert preset().spike.comparison == "host"
        assert preset(fidelity="released").spike.comparison == "greater"
    assert jelly(QuantSpec.full_precision(), "s")(torch.ones(1)).item() == 1


def test_a_rule_that_only_the_spike_changes_is_not_the_hosts_neuron():
    spec = QuantSpec(MembraneSpec(kind="float"), SpikeSpec(comparison="greater"))
    assert not spec.is_plain
    assert jelly(spec, "s")(torch.ones(1)).item() == 0
    assert QuantSpec.from_dict(spec.to_dict()) == spec
    assert spec.neuron_options()["spike.comparison"] == "greater"


def test_a_surrogate_that_fires_otherwise_is_refused():
    above, at = (SpikeSpec(comparison=rule) for rule in ("greater", "greater_equal"))
    with pytest.raises(ArgumentError, match=r"surrogate_function.*'greater'"):
        QuantLIFNode(surrogate_function=surrogate.ATan(), spec=QuantSpec(spike=above))
    QuantLIFNode(surrogate_function=surrogate.ATan(), spec=QuantSpec(spike=at))
    QuantLIFNode(surrogate_function=Spike(fires_at_zero=False), spec=QuantSpec(spike=above))
    with pytest.raises(ArgumentError, match=r"spike_grad.*'greater_equal'"):
        QuantLeaky(0.5, spike_grad=Spike(fires_at_zero=False), spec=QuantSpec(spike=at))
    with pytest.raises(ArgumentError, match=r"surrogate_disable.*'greater_equal'"):
        QuantLeaky(0.5, surrogate_disable=True, spec=QuantSpec(spike=at))
    released = presets.imsnn(fidelity="released")
    net = nn.Sequential(nn.Linear(2, 2), neuron.LIFNode())
    with pytest.raises(ArgumentError, match="keep_surrogate"):
        inject(net, released, keep_surrogate=True)
    inject(nn.Sequential(nn.Linear(2, 2), Leaky(0.5)), released, keep_surrogate=True)


def test_a_surrogate_that_was_put_in_later_decides():
    x_seq = torch.tensor(half_grid(), dtype=torch.float32)
    node = jelly(spec_of("ternary", 1, "greater"))
    node.surrogate_function = Spike(fires_at_zero=True)
    assert (node(x_seq).numpy() == steps(x_seq.numpy(), (-1.0, 0.0, 1.0), 1, True)).all()


@pytest.mark.parametrize("rule", ["greater_equal", "greater"])
def test_integers_fire_by_the_same_rule(rule):
    counts = np.random.default_rng(0).integers(0, 4, (6, 20, 3))
    weight = WeightSpec(kind="power_of_two", bits=4)
    lif = neuron.LIFNode(decay_input=False, step_mode="m")
    first, last = nn.Linear(3, 3, bias=False), nn.Linear(3, 2)
    net = nn.Sequential(TimeDistributed(first), lif, TimeDistributed(last))
    with torch.no_grad():
        first.weight.copy_(torch.eye(3) / 2)
    inject(net, QuantSpec(MembraneSpec(), SpikeSpec(comparison=rule), weight=weight))
    x = torch.tensor(counts, dtype=torch.float32)
    spikes = export.to_integer(net.eval(), x)(x, {})[1]["1"]
    wanted = steps(counts / 2, (-1.0, 0.0, 1.0), 1, rule == "greater_equal")
    assert (spikes.numpy().reshape(wanted.shape) == wanted).all()
    assert (wanted != steps(counts / 2, (-1.0, 0.0, 1.0), 1, rule == "greater")).any()
