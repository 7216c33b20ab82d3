"""What is infinite or no number: the kernel and the reference agree on it, gradients included."""

from dataclasses import replace

import pytest
import torch

from qsnn_plugins.ops.quantized_lif import Parameters, quantized_lif
from qsnn_plugins.spec import MembraneSpec, SpikeSpec, ThresholdSpec
from tests.ops.quantized_lif.cases import LEARNED, PRUNINGS, inputs, run
from tests.toolchain import needs_compiler

pytestmark = needs_compiler

FLOAT = MembraneSpec(kind="float")
NEURONS = {
    "hard": Parameters(threshold=LEARNED),
    "hard, float": Parameters(FLOAT, threshold=LEARNED, v_reset=-0.25),
    "hard, counts": Parameters(FLOAT, SpikeSpec(bits=2), LEARNED),
    "soft": Parameters(threshold=LEARNED, v_reset=None),
}
STRANGE = {"inf": torch.inf, "-inf": -torch.inf, "nan": torch.nan}


def strange_inputs(value):
    """Currents of which one neuron in twenty gets the value in the second step."""
    x_seq, v = inputs((4, 2, 3, 5, 7))
    x_seq[1].view(-1)[::20] = value
    return x_seq, v


@pytest.mark.parametrize("value", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("masks", [None, *PRUNINGS])
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.covering(2)
def test_strange_membranes_are_alike(neuron, masks, value):
    parameters = replace(NEURONS[neuron], pruning=PRUNINGS[masks] if masks else None)
    arguments = *strange_inputs(value), 0.75
    ours, theirs = (run(parameters, *arguments, backend) for backend in ("cpp", "reference"))
    for mine, other in zip(ours[:3], theirs[:3], strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0, equal_nan=True)
    for mine, other in zip(ours[3:], theirs[3:], strict=True):
        # an infinite gradient times the 0 of a surrogate's tail, which may be as small as 1e-38
        assert torch.equal(mine.isfinite(), other.isfinite())
        finite = mine.isfinite()
        torch.testing.assert_close(mine[finite], other[finite], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["cpp", "reference"])
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_a_running_scale_takes_no_infinite_membrane(backend, value):
    parameters = Parameters(MembraneSpec(kind="uniform", bits=4), scale="running")
    x_seq = torch.tensor([[0.5, 0.25], [value, 0.5], [0.25, 0.5], [0.5, 0.25]])
    _, last, _ = quantized_lif(x_seq, 0.0, 1.0, parameters, backend=backend)
    assert last[1].isfinite()
    assert 0 < last[1] < 1


@pytest.mark.parametrize("backend", ["cpp", "reference"])
def test_an_infinite_membrane_that_fires_is_reset(backend):
    x_seq = torch.tensor([[torch.inf], [0.25]])
    spikes, last, _ = quantized_lif(x_seq, 0.0, 1.0, Parameters(FLOAT), backend=backend)
    assert spikes.flatten().tolist() == [1, 0]
    assert last.item() == 0.25


@pytest.mark.parametrize("backend", ["cpp", "reference"])
@pytest.mark.parametrize("v_reset", [None, 0.0])
@pytest.mark.parametrize("threshold", [torch.inf, torch.full((3, 1), torch.inf)])
def test_an_infinite_threshold_is_never_reached(backend, v_reset, threshold):
    for spike in (SpikeSpec(), SpikeSpec(bits=2), SpikeSpec(bits=2, value="threshold")):
        x_seq = torch.tensor([0.5, 2.0]).reshape(2, 1, 1, 1).repeat(1, 2, 3, 4)
        parameters = Parameters(FLOAT, spike, v_reset=v_reset)
        spikes, last, _ = quantized_lif(x_seq, 0.0, threshold, parameters, backend=backend)
        assert not spikes.any()
        assert (last == 2.25).all()


@pytest.mark.parametrize("backend", ["cpp", "reference"])
@pytest.mark.parametrize("v_reset", [None, 0.0])
@pytest.mark.parametrize("spike", [SpikeSpec(), SpikeSpec(bits=2, value="threshold")], ids=str)
def test_a_fixed_threshold_gets_no_gradient(backend, v_reset, spike):
    x_seq, v = inputs((4, 3, 50))
    threshold = torch.tensor(0.75, requires_grad=True)
    leaf = x_seq.requires_grad_()
    parameters = Parameters(FLOAT, spike, ThresholdSpec(), v_reset=v_reset)
    spikes, last, _ = quantized_lif(leaf, v, threshold, parameters, backend=backend)
    (spikes.sum() + last.sum()).backward()
    assert threshold.grad is None
    assert leaf.grad.abs().max() > 0
