"""Every membrane and spike of a spec, inside the host's neuron."""

import warnings

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, surrogate

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import RELEASED_LEVELS
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec, SpikeSpec, ThresholdSpec
from qsnn_plugins.spikingjelly import QuantLIFNode, build_neuron
from tests.functional.lif_simulation import currents

MEMBRANES = [
    MembraneSpec(kind="float"),
    MembraneSpec(kind="clip", lower=-2.0),
    MembraneSpec(),
    MembraneSpec(levels=RELEASED_LEVELS),
    MembraneSpec(kind="pruned"),
    MembraneSpec(kind="threshold_centred", bits=4),
    *(
        MembraneSpec(kind=kind, bits=bits, scale=scale)
        for kind, bits in (("uniform", 1), ("uniform", 4), ("tanh", 2))
        for scale in ("fixed", "learned", "running", "step_max")
    ),
]


def rate_is_alive(spikes):
    return 0.05 < (spikes > 0).float().mean() < 0.6


@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("spike", [SpikeSpec(), SpikeSpec(bits=2, value="threshold")], ids=str)
@pytest.mark.parametrize("membrane", MEMBRANES, ids=str)
def test_single_step_equals_multi_step_and_gradients_arrive(membrane, spike, v_reset):
    torch.manual_seed(0)
    spec = QuantSpec(membrane, spike, ThresholdSpec("separate"))
    x_seq = (0.2 + torch.randn(6, 4, 50)).requires_grad_()
    multi = QuantLIFNode(step_mode="m", store_v_seq=True, v_reset=v_reset, spec=spec)
    single = QuantLIFNode(step_mode="s", v_reset=v_reset, spec=spec)
    spikes = multi(x_seq)
    assert rate_is_alive(spikes)
    for t in range(6):
        assert torch.equal(single(x_seq[t]), spikes[t])
        assert torch.equal(single.v, multi.v_seq[t])
    (spikes.sum() + multi.v_seq.sum()).backward()
    assert x_seq.grad.isfinite().all()
    assert x_seq.grad.abs().sum() > 0
    for name, parameter in multi.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite(), name


@pytest.mark.parametrize("membrane", MEMBRANES, ids=str)
def test_no_sample_depends_on_its_batch_at_evaluation(membrane):
    torch.manual_seed(0)
    spec = QuantSpec(membrane, pruning=PruningSpec(spatial_ratio=0.35))
    node = build_neuron(spec)
    x_seq = torch.randn(5, 4, 3, 6, 6) * torch.tensor([0.5, 1.0, 2.0, 4.0]).reshape(4, 1, 1, 1)
    node(x_seq)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        node.eval()

    def answer(x_seq):
        functional.reset_net(node)
        return node(x_seq)

    alone = torch.cat([answer(x_seq[:, i : i + 1]) for i in range(4)], dim=1)
    assert torch.equal(answer(x_seq), alone)


@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("value", ["count", "threshold"])
@pytest.mark.parametrize("bits", [2, 4])
def test_spikes_of_several_bits_against_numpy(bits, value, v_reset):
    """Bit budget Eq. 6-7 over time, with a membrane that stays a float."""
    x, threshold = currents(steps=8, scale=1.5), 0.75
    spec = QuantSpec(MembraneSpec(kind="float"), SpikeSpec(bits=bits, value=value))
    node = QuantLIFNode(
        step_mode="m", store_v_seq=True, v_threshold=threshold, v_reset=v_reset, spec=spec
    )
    spikes = node(torch.tensor(x)).numpy()
    v = np.zeros_like(x[0])
    for t in range(len(x)):
        h = 0.5 * v + x[t]
        count = np.clip(np.floor(h / threshold), 0, 2**bits - 1)
        v = h - count * threshold if v_reset is None else np.where(count > 0, v_reset, h)
        assert np.array_equal(spikes[t], count * (threshold if value == "threshold" else 1))
        assert np.array_equal(node.v_seq[t].numpy(), v)
    assert len(np.unique(spikes)) > 3


@pytest.mark.parametrize("gradient", ["ordinary", "separate"])
@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 3, 6, 6)])
def test_a_channel_s_threshold_is_that_of_a_layer_alone(shape, gradient):
    torch.manual_seed(0)
    node = build_neuron(QuantSpec(threshold=ThresholdSpec(gradient, per="channel")), channels=3)
    with torch.no_grad():
        node.v_threshold.copy_(torch.tensor([0.5, 1.0, 1.5]))
    x_seq = torch.randn(shape) + 0.5
    spikes = node(x_seq)
    assert rate_is_alive(spikes)
    upstream = torch.randn(shape)
    (spikes * upstream).sum().backward()
    for channel in range(3):
        alone = QuantLIFNode(
            step_mode="m",
            v_threshold=node.v_threshold[channel].item(),
            spec=QuantSpec(threshold=ThresholdSpec(gradient)),
        )
        theirs = alone(x_seq[:, :, channel])
        assert torch.equal(theirs, spikes[:, :, channel])
        (theirs * upstream[:, :, channel]).sum().backward()
        torch.testing.assert_close(alone.v_threshold.grad, node.v_threshold.grad[channel])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_thresholds_of_channels_keep_the_dtype(dtype):
    spec = QuantSpec(
        spike=SpikeSpec(bits=2, value="threshold"),
        threshold=ThresholdSpec("ordinary", per="channel"),
        pruning=PruningSpec(0.2),
    )
    node = build_neuron(spec, channels=3)
    x_seq = torch.randn(3, 2, 3, 4, 4).to(dtype)
    assert node(x_seq).dtype == node.v.dtype == dtype


def test_pruned_neurons_neither_fire_nor_store_and_are_counted():
    torch.manual_seed(0)
    pruning = PruningSpec(spatial_ratio=0.35, masked="membrane")
    spec = QuantSpec(MembraneSpec(kind="float"), pruning=pruning)
    node = QuantLIFNode(step_mode="m", store_v_seq=True, spec=spec)
    for _ in range(2):
        functional.reset_net(node)
        spikes = node(0.3 + torch.randn(6, 4, 3, 10, 10))
        resting = (spikes == 0) & (node.v_seq == 0)
        assert resting.float().mean().item() == pytest.approx(0.35, abs=1e-6)
        assert node.pruning.sparsity() == pytest.approx(0.35, abs=1e-6)
    functional.reset_net(node)
    node(torch.zeros(6, 4, 3, 10, 10))  # silent: nothing is weaker than the rest
    assert node.pruning.sparsity() == 0.0
    node(0.3 + torch.randn(6, 4, 3, 10, 10))  # each forward begins anew
    assert node.pruning.sparsity() == pytest.approx(0.35, abs=1e-6)


def test_channels_and_surrogates_that_do_not_fit_are_refused():
    per_channel = QuantSpec(threshold=ThresholdSpec("ordinary", per="channel"))
    with pytest.raises(ArgumentError, match="channels=None is not allowed: give an integer"):
        build_neuron(per_channel)
    with pytest.raises(ArgumentError, match="surrogate_function="):
        QuantLIFNode(surrogate_function=surrogate.ATan(), spec=QuantSpec(spike=SpikeSpec(bits=2)))


@pytest.mark.parametrize("membrane", [MEMBRANES[2], MEMBRANES[-1]], ids=str)
def test_the_neuron_is_one_graph(membrane):
    torch._dynamo.reset()
    spec = QuantSpec(membrane, SpikeSpec(bits=2), ThresholdSpec("separate"))
    x_seq = torch.randn(3, 4, 8)
    eager, compiled = QuantLIFNode(step_mode="m", spec=spec), QuantLIFNode(step_mode="m", spec=spec)
    run = torch.compile(compiled, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(run(x_seq), eager(x_seq), rtol=0, atol=0)
