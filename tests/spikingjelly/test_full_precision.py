"""With quantization switched off, each neuron is the host's: spikes, states, gradients, bit by bit.

The host runs kernels of its own for its built-in surrogates in float32, and the plain loop in
float64; the neurons here take the same ways. A clip that never acts sends them through the step
that quantized neurons take, which must equal the plain loop too.
"""

import copy
import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import neuron, surrogate

from qsnn_plugins.spec import MembraneSpec, QuantSpec
from qsnn_plugins.spikingjelly import QuantIFNode, QuantLIFNode, QuantParametricLIFNode
from qsnn_plugins.spikingjelly.legacy import IS_LEGACY

UNCLIPPED = QuantSpec(MembraneSpec(kind="clip", lower=-1e9, upper=1e9))
PAIRS = {
    "LIF": (QuantLIFNode, neuron.LIFNode, "tau"),
    "IF": (QuantIFNode, neuron.IFNode, None),
    "PLIF": (QuantParametricLIFNode, neuron.ParametricLIFNode, "init_tau"),
}
SURROGATES = [surrogate.Sigmoid, surrogate.ATan, surrogate.PiecewiseQuadratic]


def results(node, x, weight_s, weight_v):
    """Spikes, the last or all stored membranes, and the gradients of a loss over both."""
    leaf = x.clone().requires_grad_()
    if node.step_mode == "m":
        spikes = node(leaf)
        states = node.v_seq if node.store_v_seq else node.v
    else:
        spikes, states = [], []
        for step in leaf:
            spikes.append(node(step))
            states.append(node.v)
        spikes, states = torch.stack(spikes), torch.stack(states)
    (spikes * weight_s).sum().add((states * weight_v).sum()).backward()
    return [spikes, states, leaf.grad, *(p.grad for p in node.parameters())]


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(sorted(PAIRS)))
    v_threshold = draw(st.floats(0.1, 3.0))
    arguments = {
        "v_threshold": v_threshold,
        "v_reset": draw(st.none() | st.floats(-1.0, 0.09)),
        "surrogate_function": draw(st.sampled_from(SURROGATES))(),
        "detach_reset": draw(st.booleans()),
        "step_mode": draw(st.sampled_from("sm")),
    }
    if PAIRS[kind][2]:
        arguments[PAIRS[kind][2]] = draw(st.floats(1.05, 20.0))
        arguments["decay_input"] = draw(st.booleans())
    if arguments["step_mode"] == "m":
        arguments["store_v_seq"] = draw(st.booleans())
    return kind, arguments, draw(st.integers(0, 2**16))


def compare(kind, arguments, seed, dtype, spec):
    quantized, host, tau = PAIRS[kind]
    ours = quantized(**arguments, spec=spec)
    theirs = host(**copy.deepcopy(arguments))
    generator = torch.Generator().manual_seed(seed)
    scale = arguments["v_threshold"] - (arguments["v_reset"] or 0.0)
    if arguments.get("decay_input"):
        scale *= arguments[tau]
    x = torch.randn(6, 32, generator=generator, dtype=dtype) * scale
    weights = [torch.randn(x.shape, generator=generator, dtype=dtype) for _ in range(2)]
    got = results(ours.to(dtype), x, *weights)
    expected = results(theirs.to(dtype), x, *weights)
    return got, expected


def assert_equal(got, expected, gradients_to=0.0):
    assume(0.05 < expected[0].mean().item() < 0.6)
    for i, (mine, host_s) in enumerate(zip(got, expected, strict=True)):
        # 0.0.0.0.14 writes the leak as v (1 - 1 / tau), which rounds otherwise
        if not gradients_to or i == 0 or (i == 1 and not IS_LEGACY):
            assert torch.equal(mine, host_s)
        else:
            torch.testing.assert_close(mine, host_s, rtol=gradients_to, atol=gradients_to)


@pytest.mark.skipif(IS_LEGACY, reason="0.0.0.0.14 has no function of its own steps to call")
@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_the_host_s_own_steps_in_float32(case):
    assert_equal(*compare(*case, torch.float32, QuantSpec.full_precision()))


@pytest.mark.skipif(IS_LEGACY, reason="0.0.0.0.14 has no function of its own steps to call")
@given(case=cases())
@settings(max_examples=100, deadline=None)
def test_the_host_s_own_steps_in_float64(case):
    assert_equal(*compare(*case, torch.float64, QuantSpec.full_precision()))


@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_the_step_of_quantized_neurons(case):
    # autograd adds up the same terms in another order
    assert_equal(*compare(*case, torch.float64, UNCLIPPED), 1e-12)


def test_a_quantized_membrane_would_be_noticed():
    arguments = {"v_threshold": 0.8, "v_reset": 0.0, "surrogate_function": surrogate.ATan()}
    arguments |= {"tau": 2.0, "decay_input": True, "step_mode": "m"}
    for bits, is_seen in ((None, False), (8, True)):
        finest = MembraneSpec(kind="uniform", bits=8, scale="fixed", scale_value=4.0)
        spec = QuantSpec(finest) if bits else QuantSpec.full_precision()
        got, expected = compare("LIF", arguments, 0, torch.float64, spec)
        assert torch.equal(got[1], expected[1]) is not is_seen


@pytest.mark.parametrize("step_mode", ["s", "m"])
@pytest.mark.parametrize("build", [QuantIFNode, QuantLIFNode, QuantParametricLIFNode])
def test_a_soft_reset_from_an_infinite_threshold_takes_nothing(build, step_mode):
    """A readout integrates; the host's own steps subtract 0 of infinity, which is NaN."""
    readout = build(
        v_threshold=math.inf, v_reset=None, step_mode=step_mode, store_v_seq=step_mode == "m",
        spec=QuantSpec.full_precision(),
    )  # fmt: skip
    x = torch.tensor([[1.0], [-2.0], [3.0]], requires_grad=True)
    spikes = readout(x) if step_mode == "m" else torch.stack([readout(step) for step in x])
    keeps = 1.0 if build is QuantIFNode else 0.5
    assert torch.equal(spikes, torch.zeros(3, 1))
    assert readout.v.item() == keeps**2 - 2 * keeps + 3
    readout.v.sum().backward()
    assert x.grad.flatten().tolist() == [keeps**2, keeps, 1.0]
