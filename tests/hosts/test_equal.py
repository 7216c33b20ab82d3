"""One spec, one input, one set of weights: both hosts and `functional` are the same network."""

import itertools

import pytest
import torch
from torch import nn

from qsnn_plugins.functional import RELEASED_LEVELS
from qsnn_plugins.functional.neuron import lif_charge, reset
from qsnn_plugins.functional.scale import normalize_gradient
from qsnn_plugins.functional.threshold import distance, keep_positive, per_channel
from qsnn_plugins.nn import Spike, membrane_quantizer
from qsnn_plugins.snntorch import MultiStep, QuantLeaky
from qsnn_plugins.spec import MembraneSpec, QuantSpec, SpikeSpec, ThresholdSpec
from qsnn_plugins.spikingjelly import QuantLIFNode

MEMBRANES = [
    MembraneSpec(kind="float"),
    MembraneSpec(kind="clip", lower=-2.0),
    MembraneSpec(),
    MembraneSpec(levels=RELEASED_LEVELS, gradient="straight_through"),
    MembraneSpec(kind="pruned"),
    MembraneSpec(kind="threshold_centred", bits=3),
    *(
        MembraneSpec(kind=kind, bits=bits, scale=scale, scale_value=1.3)
        for kind, bits in (("uniform", 1), ("uniform", 4), ("tanh", 3))
        for scale in ("fixed", "learned", "running", "step_max")
    ),
]
THRESHOLDS = [
    ThresholdSpec(),
    *(
        ThresholdSpec(gradient, per=per)
        for gradient, per in itertools.product(("ordinary", "separate"), ("layer", "channel"))
    ),
]
SPIKES = [SpikeSpec(), SpikeSpec(bits=2), SpikeSpec(bits=3, value="threshold")]
CHANNELS, THRESHOLD, BETA = 6, 0.8, 0.75
TAU = 1 / (1 - BETA)


class Functional(nn.Module):
    """The steps written out once more, without `nn.Cell`, under either comparison."""

    def __init__(self, spec, how, fires_at_zero):
        super().__init__()
        self.spec, self.how = spec, how
        self.membrane = membrane_quantizer(spec.membrane)
        self.spike = Spike.from_spec(spec.spike, fires_at_zero)
        shape = (CHANNELS,) if spec.threshold.per == "channel" else ()
        self.threshold = nn.Parameter(torch.full(shape, THRESHOLD), spec.threshold.learned)

    def forward(self, x_seq):
        learning = self.spec.threshold
        neurons = x_seq[0, 0].numel() // self.threshold.numel()
        threshold = keep_positive(self.threshold)
        if learning.learned:
            threshold = normalize_gradient(threshold, neurons, 2**self.spec.spike.bits - 1)
        threshold = per_channel(threshold, x_seq[0].dim())
        constant = threshold.detach() if learning.gradient == "separate" else threshold
        spikes, states, q = [], [], torch.zeros_like(x_seq[0])
        for x in x_seq:
            h = lif_charge(x, q, TAU)
            above = distance(h, threshold, learning.gradient, learning.window)
            spikes.append(self.spike(above, constant))
            v_reset = None if self.how == "subtract" else 0.0
            q = self.membrane(reset(h, spikes[-1], constant, v_reset))
            states.append(q)
        spikes, states = torch.stack(spikes), torch.stack(states)
        return spikes * constant if self.spec.spike.value == "threshold" else spikes, states


class Jelly(nn.Module):
    def __init__(self, spec, how, fires_at_zero):
        super().__init__()
        self.node = QuantLIFNode(
            TAU, v_threshold=THRESHOLD, v_reset=None if how == "subtract" else 0.0,
            step_mode="m", store_v_seq=True, spec=spec, channels=CHANNELS,
        )  # fmt: skip
        self.node.surrogate_function = Spike.from_spec(spec.spike, fires_at_zero)

    def forward(self, x_seq):
        return self.node(x_seq), self.node.v_seq


def snntorch_neuron(spec, how, fires_at_zero):
    spike = Spike.from_spec(spec.spike, fires_at_zero)
    lif = QuantLeaky(
        BETA, THRESHOLD, spike, reset_mechanism=how, reset_delay=False, spec=spec,
        channels=CHANNELS,
    )  # fmt: skip
    return MultiStep(lif)


def answers(build, spec, how, greatest=float("inf"), fires_at_zero=False):
    """Spikes and states of both layers, and every gradient, in float64."""
    torch.manual_seed(0)
    synapses = [nn.Conv2d(2, CHANNELS, 3, padding=1), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)]
    x = torch.randn(6, 3, 2, 7, 7, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        synapses[1].weight.mul_(3)
    kept, out = [], x
    upstream = torch.Generator().manual_seed(1)
    neurons, loss = [], torch.zeros(())
    for synapse in synapses:
        neuron = build(spec, how, fires_at_zero).double()
        neurons.append(neuron)
        current = synapse.double()(out.flatten(0, 1)).unflatten(0, out.shape[:2])
        out, states = neuron((current + 0.2).clamp(max=greatest))
        kept += [out, states]
        for part in (out, states):
            loss = loss + (part * torch.randn(part.shape, generator=upstream)).sum()
    loss.backward()
    grads = {"x": x.grad}
    for place, module in enumerate((*synapses, *neurons)):
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                grads[f"{place} {name.rpartition('.')[2].removeprefix('v_')}"] = parameter.grad
    return kept, grads


def assert_equal(ours, theirs):
    (kept, grads), (their_kept, their_grads) = ours, theirs
    for part, other in zip(kept, their_kept, strict=True):
        torch.testing.assert_close(part, other, rtol=0, atol=1e-6)
    assert grads.keys() == their_grads.keys()
    for name, grad in grads.items():
        greatest = their_grads[name].abs().max().item()
        assert greatest > 1e-3, name
        assert (grad - their_grads[name]).abs().max() < 1e-6 * max(greatest, 1), name


def assert_alive(kept):
    for spikes in kept[::2]:
        assert 0.05 < (spikes > 0).double().mean() < 0.6, (spikes > 0).double().mean()


CASES = [
    *itertools.product(MEMBRANES, SPIKES[:1], THRESHOLDS),
    *itertools.product(MEMBRANES, SPIKES[1:], [ThresholdSpec(), ThresholdSpec("separate")]),
]


@pytest.mark.covering(2)
@pytest.mark.parametrize("how", ["zero", "subtract"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: " | ".join(map(str, case)))
def test_both_hosts_and_functional_are_the_same(case, how):
    membrane, spike, threshold = case
    spec = QuantSpec(membrane, spike, threshold)
    greatest = float("inf")
    if spec == QuantSpec(MembraneSpec(kind="float")) and how == "subtract":
        # snnTorch's own Leaky, which runs where nothing is quantized, has a rule of its own for
        # a membrane that is still above its threshold after the reset: h stays below twice
        greatest = (2 - BETA) * THRESHOLD
    expected, *others = (
        answers(build, spec, how, greatest) for build in (Functional, Jelly, snntorch_neuron)
    )
    assert_alive(expected[0])
    for answer in others:
        assert_equal(answer, expected)


@pytest.mark.parametrize("fires", [False, True])
@pytest.mark.parametrize("how", ["zero", "subtract"])
@pytest.mark.parametrize("spike", SPIKES, ids=str)
def test_they_agree_at_the_threshold_itself_where_the_comparison_is_set_alike(spike, how, fires):
    spec = QuantSpec(MembraneSpec(kind="clip", lower=-9.0, upper=9.0), spike)
    generator = torch.Generator().manual_seed(0)
    # quarters of the threshold: sums are exact, and ties do occur
    x_seq = torch.randint(-6, 9, (8, 70, CHANNELS), generator=generator)
    x_seq = x_seq.double() / 4
    neurons = [build(spec, how, fires).double() for build in (Functional, Jelly, snntorch_neuron)]
    neurons[0].threshold.data.fill_(1.0)
    neurons[1].node.v_threshold = 1.0
    neurons[2].neuron.threshold.fill_(1.0)
    expected, *others = (neuron(x_seq) for neuron in neurons)
    for answer in others:
        assert all(map(torch.equal, answer, expected))
    assert 0.05 < (expected[0] > 0).double().mean() < 0.6
    unlike = Functional(spec, how, not fires).double()
    unlike.threshold.data.fill_(1.0)
    assert not torch.equal(unlike(x_seq)[0], expected[0])


def test_the_comparison_can_fail():
    spec = QuantSpec()
    expected = answers(Functional, spec, "zero")
    other = QuantSpec(MembraneSpec(smoothness=2.001))  # gradients alone
    with pytest.raises(AssertionError):
        assert_equal(answers(snntorch_neuron, other, "zero"), expected)
    with pytest.raises(AssertionError):
        assert_equal(answers(snntorch_neuron, spec, "subtract"), expected)
    with pytest.raises(AssertionError):
        assert_alive([torch.zeros(9)])


def test_a_network_from_a_string_answers_alike_on_both_hosts():
    from qsnn_plugins.models import StringNet

    spec, x = QuantSpec(threshold=ThresholdSpec("separate")), torch.randn(5, 2, 2, 12, 12) * 3
    networks = []
    for host in ("spikingjelly", "snntorch"):
        torch.manual_seed(0)
        networks.append(StringNet("6C3-AP2-8C3-GAP-FC12-FC5", spec=spec, host=host))
    rates, grads = [], []
    networks[1].blocks.conv1.neuron.register_forward_hook(
        lambda _, __, spikes: rates.append(spikes.mean())
    )
    first = [network(x) for network in networks]
    torch.testing.assert_close(*first, rtol=0, atol=1e-6)
    assert 0.05 < rates[0] < 0.6
    for network, logits in zip(networks, first, strict=True):
        logits.square().sum().backward()
        grads.append([parameter.grad for parameter in network.parameters()])
    for grad, other in zip(*grads, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-3, atol=1e-4)
    for network, logits in zip(networks, first, strict=True):
        assert not torch.equal(network(x), logits)  # it went on from the state
        network.reset_states()
        assert torch.equal(network(x), logits)
