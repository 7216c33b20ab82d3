"""What the recorder hands on, against simulations in numpy and against the network without it."""

import numpy as np
import pytest
import snntorch
import torch
from spikingjelly.activation_based import functional, neuron
from torch import nn

from qsnn_plugins.cost.neurons import evaluate_batches
from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.models import StringNet
from qsnn_plugins.plot import measure_layers
from qsnn_plugins.snntorch import MultiStep, QuantLeaky
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec
from qsnn_plugins.spikingjelly import QuantIFNode, QuantLIFNode

FLOAT = QuantSpec.full_precision()


def currents(*shape, seed=0):
    return 1.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def lif(x, quantize, leak=0.5, strict=False):
    """After the reset, stored, spikes of u = leak u + x with a hard reset and threshold 1."""
    q, kept = np.zeros(x.shape[1:]), []
    for current in x.numpy():
        h = leak * q + current
        spike = h > 1 if strict else h >= 1
        r = np.where(spike, 0.0, h)
        q = quantize(r)
        kept.append((r, q, spike))
    return [np.stack(part) for part in zip(*kept, strict=True)]


def ternary(r):
    return np.where(r <= -0.5, -1.0, np.where(r > 0.5, 1.0, 0.0))


def recorded(network, *batches, run=None):
    """Everything that the recorder hands on, by layer."""
    found = {}

    def measure(before, stored, spikes):
        found.setdefault(len(found), (before, stored, spikes))
        return spikes.double().mean()

    measure_layers(network, batches, measure, run)
    return [[part.numpy() for part in steps] for steps in found.values()]


def leaky(kind, **options):
    options = {"beta": 0.5, "reset_mechanism": "zero", "reset_delay": False} | options
    return MultiStep(kind(init_hidden=True, **options))


KINDS = {
    "quantized": (lambda: QuantLIFNode(step_mode="m"), ternary, False),
    "without quantization": (lambda: QuantLIFNode(step_mode="m", spec=FLOAT), np.copy, False),
    "the host's own": (
        lambda: neuron.LIFNode(tau=2.0, decay_input=False, step_mode="m"),
        np.copy,
        False,
    ),
    "snnTorch, quantized": (lambda: leaky(QuantLeaky), ternary, True),
    "snnTorch, not quantized": (lambda: leaky(QuantLeaky, spec=FLOAT), np.copy, True),
    "snnTorch's own": (lambda: leaky(snntorch.Leaky), np.copy, True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_membranes_and_spikes_are_those_of_the_equations(kind):
    build, quantize, strict = KINDS[kind]
    x = currents(6, 3, 5)
    (found,) = recorded(nn.Sequential(build()), x)
    for part, wanted in zip(found, lif(x, quantize, strict=strict), strict=True):
        assert np.allclose(part, wanted, atol=1e-12)
    assert found[2].any()


@pytest.mark.parametrize("build", [QuantLIFNode, lambda: QuantLIFNode(spec=FLOAT), neuron.LIFNode])
def test_single_steps_are_put_together(build):
    network, x = nn.Sequential(build()).double(), currents(4, 2, 3)

    def run(batch):
        for step in batch:
            network(step)

    (found,) = recorded(network, x, run=run)
    assert found[0].shape == (4, 2, 3)
    whole = build()
    whole.step_mode, whole.store_v_seq = "m", True
    assert np.allclose(found[2], whole(x).numpy())
    assert np.allclose(found[1], whole.v_seq.numpy())


@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
@pytest.mark.parametrize(
    "spec",
    [
        QuantSpec(),
        QuantSpec.full_precision(),
        QuantSpec(membrane=MembraneSpec(kind="uniform", bits=2)),
        QuantSpec(pruning=PruningSpec(spatial_ratio=0.4)),
    ],
    ids=["ternary", "float", "uniform", "pruned"],
)
def test_a_watched_network_answers_as_before_and_keeps_nothing(host, spec):
    torch.manual_seed(0)
    network = StringNet("6C3-AP2-4C3-GAP-FC3", spec=spec, host=host)
    x = (currents(4, 2, 2, 8, 8) > 0).float()
    network(x)  # running scales see a batch
    network.eval().reset_states()
    expected = network(x).detach()
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    answers = []
    recorded(network, x, run=lambda batch: answers.append(network(batch)))
    assert torch.equal(answers[0], expected)
    assert all(module.training for module in network.modules())
    hooks = [m for m in network.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert hooks == []
    assert not any(getattr(module, "store_v_seq", False) for module in network.modules())
    assert all(torch.equal(value, before[n]) for n, value in network.state_dict().items())
    assert torch.equal(network.eval()(x), expected)


def test_batches_count_by_their_samples():
    network = nn.Sequential(QuantIFNode(step_mode="m"))
    small, large = currents(4, 1, 50, seed=1), currents(4, 3, 50, seed=2)
    (mean,) = measure_layers(network, [small, large], lambda r, q, s: q.mean()).values()
    together = torch.cat([small, large], dim=1)
    (whole,) = measure_layers(network, [together], lambda r, q, s: q.mean()).values()
    assert float(mean) == pytest.approx(float(whole))


def test_states_do_not_go_on_from_batch_to_batch():
    network, x = nn.Sequential(neuron.IFNode(step_mode="m")), currents(3, 2, 4)
    first, second = recorded(network, x, x)
    assert np.array_equal(first[1], second[1])


def test_it_leaves_the_network_after_an_error():
    network = nn.Sequential(QuantLIFNode(step_mode="m")).train()
    with pytest.raises(ZeroDivisionError):
        measure_layers(network, [currents(3, 2, 4)], lambda r, q, s: 1 / 0)
    assert network.training
    assert not network[0]._forward_hooks
    assert not network[0].membrane._forward_hooks
    functional.reset_net(network)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ArgumentError, match=r"network='Linear'.*has neurons"):
        measure_layers(nn.Linear(2, 2), [currents(2, 2)], lambda r, q, s: s.mean())
    with pytest.raises(ArgumentError, match="batches=0"):
        list(evaluate_batches(nn.Identity(), []))


def test_a_neuron_that_hides_its_membrane_is_named():
    class Hidden(neuron.BaseNode):
        def forward(self, x):
            return x

    with pytest.raises(QSNNError, match=r"^0, a Hidden, does not show its membrane: v"):
        recorded(nn.Sequential(Hidden()), currents(3, 2, 4))
