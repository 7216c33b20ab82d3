"""The C++ kernel against its reference."""

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.ops.quantized_lif import Parameters, quantized_lif
from qsnn_plugins.ops.quantized_lif.schema import VALUES
from qsnn_plugins.spec import MembraneSpec, SpikeSpec, ThresholdSpec
from tests.functional.lif_simulation import CONVENTIONS, currents
from tests.ops.quantized_lif.cases import (
    CASES,
    LATE,
    LEARNED,
    NEURONS,
    PRUNINGS,
    SEPARATE,
    UNIFORM,
    assert_sixteen_bits,
    inputs,
    masked,
    run,
    sixteen_bits,
)
from tests.ops.quantized_lif.sanitized import run_kernel_sanitized
from tests.toolchain import needs_compiler

pytestmark = [needs_compiler, pytest.mark.usefixtures("fresh_memory_is_nan")]


def assert_gradients(ours, theirs, tolerance=1e-5):
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other.to(mine.dtype), rtol=tolerance, atol=tolerance)


def exact_dtype(parameters):
    """Double precision where its levels are the same numbers."""
    is_dyadic = parameters.membrane.kind not in ("threshold_centred", "uniform")
    return torch.float64 if is_dyadic and parameters.spike.bits == 1 else torch.float32


@pytest.mark.parametrize("parameters", NEURONS)
def test_equals_the_reference_in_double_precision(parameters):
    x_seq, v = inputs((5, 3, 7, 11))
    if parameters.decay_input:
        x_seq *= 2
    spikes, last, maxima, *gradients = run(parameters, x_seq, v, 0.75, "cpp")
    exactly = exact_dtype(parameters)
    exact = run(parameters, x_seq.to(exactly), v.to(exactly), 0.75, "reference")
    assert 0.1 < (spikes > 0).float().mean() < 0.7
    assert torch.equal(spikes, exact[0].float())
    assert torch.equal(last, exact[1].float())
    assert torch.equal(maxima, exact[2].float())
    assert len(maxima) == 5 * parameters.measures
    assert all(gradient.abs().max() > 0.01 for gradient in gradients)
    assert_gradients(gradients, exact[3:])


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [("cpp", torch.float32), ("reference", torch.float32), ("reference", torch.float64)],
)
def test_sixteen_bits_of_a_spike_are_exact(backend, dtype):
    assert_sixteen_bits(backend, dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("backend", ["cpp", "reference"])
def test_counts_that_a_dtype_does_not_hold_are_refused(backend, dtype):
    parameters, x, *_ = sixteen_bits(1.0)
    with pytest.raises(ArgumentError, match=r"x\.dtype=.*give float32 or float64"):
        quantized_lif(x.to(dtype), 0.0, 1.0, parameters, backend=backend)


@pytest.mark.parametrize("learning", ["fixed", "ordinary", "separate"])
@pytest.mark.parametrize("shape", [(4, 2, 3, 5, 7), (3, 5, 3), (2, 1, 3, 1, 4099)])
@pytest.mark.parametrize("v_reset", [0.0, None])
def test_each_channel_may_have_its_threshold(learning, shape, v_reset):
    parameters = Parameters(threshold=ThresholdSpec(gradient=learning), v_reset=v_reset)
    x_seq, v = inputs(shape)
    thresholds = torch.tensor([0.5, 1.0, 1.25]).reshape(3, *(1,) * (len(shape) - 3))
    ours, theirs = (
        run(parameters, x_seq.to(dtype), v.to(dtype), thresholds, name)
        for name, dtype in (("cpp", torch.float32), ("reference", torch.float64))
    )
    assert torch.equal(ours[0], theirs[0].float())
    assert torch.equal(ours[1], theirs[1].float())
    assert_gradients(ours[3:], theirs[3:])
    if learning != "fixed":
        assert ours[5].shape == thresholds.shape
        assert ours[5].unique().numel() == 3


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 17), (2,), (3, 5, 0), (7, 4099), (13, 2, 3, 31), (199, 67), (5000, 3)]
)
@pytest.mark.parametrize("kind", ["levels", "float"])
def test_any_shape_and_any_leak(shape, kind):
    parameters = Parameters(MembraneSpec(kind=kind), threshold=LEARNED, tau=3.0, decay_input=True)
    generator = torch.Generator().manual_seed(5)
    x_seq = torch.randn(shape, generator=generator) * 4
    v = torch.randn(shape[1:], generator=generator)
    ours, theirs = (run(parameters, x_seq, v, 0.9, name) for name in ("cpp", "reference"))
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])
    assert_gradients(ours[3:5], theirs[3:5])
    torch.testing.assert_close(ours[5], theirs[5], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("reference", CONVENTIONS, ids=str)
def test_equals_the_numpy_simulation(reference):
    x = currents(scale=reference.tau if reference.decay_input else 1.0, seed=2)
    rng = np.random.default_rng(3)
    weight_s, weight_q = rng.normal(size=x.shape), np.zeros(x.shape)
    weight_q[-1] = rng.normal(size=x.shape[1:])
    parameters = Parameters(
        MembraneSpec(smoothness=reference.smoothness),
        threshold=LEARNED if reference.threshold_gradient == "ordinary" else SEPARATE,
        tau=reference.tau,
        decay_input=reference.decay_input,
        v_reset=reference.v_reset,
        detach_reset=reference.detach_reset,
    )
    x_seq = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    threshold = torch.tensor(reference.threshold, requires_grad=True)
    v = reference.v_reset or 0.0
    spikes, last, _ = quantized_lif(x_seq, v, threshold, parameters, backend="cpp")
    _, s, _, q = reference.run(x)
    assert np.array_equal(spikes.detach().numpy(), s)
    assert np.array_equal(last.detach().numpy(), q[-1])
    ((spikes * torch.tensor(weight_s)).sum() + (last * torch.tensor(weight_q[-1])).sum()).backward()
    grad_x, grad_threshold = reference.gradients(x, weight_s, weight_q)
    np.testing.assert_allclose(x_seq.grad.numpy(), grad_x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(threshold.grad.item(), grad_threshold, rtol=1e-4)


def test_the_state_of_every_step_is_that_of_the_reference():
    x_seq, v = inputs((9, 301))
    ours = theirs = v
    for x in x_seq:
        step = x.unsqueeze(0)
        _, ours, _ = quantized_lif(step, ours, 1.0, Parameters(), backend="cpp")
        _, theirs, _ = quantized_lif(step, theirs, 1.0, Parameters(), backend="reference")
        assert torch.equal(ours, theirs)
        assert set(ours.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert torch.equal(ours, quantized_lif(x_seq, v, 1.0, Parameters(), backend="cpp")[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("steps", [1, 6])
def test_16_bit_input_is_computed_in_float32(dtype, steps):
    parameters = Parameters(threshold=LEARNED)
    x_seq, v = inputs((steps, 5, 211), dtype=dtype)
    ours, theirs = (run(parameters, x_seq, v, 0.8, name) for name in ("cpp", "reference"))
    assert ours[0].dtype == ours[1].dtype == ours[3].dtype == ours[4].dtype == dtype
    assert ours[5].dtype == torch.float32
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])
    assert_gradients(ours[3:5], theirs[3:5], torch.finfo(dtype).eps)
    torch.testing.assert_close(ours[5], theirs[5], rtol=1e-3, atol=1e-2)


def test_input_in_any_layout():
    x_seq, v = inputs((4, 6, 5, 7))
    parameters = Parameters(threshold=LEARNED)
    straight = run(parameters, x_seq, v, 1.0, "cpp")
    backwards = x_seq.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    unaligned = torch.empty(x_seq.numel() + 1)[1:].view(x_seq.shape).copy_(x_seq)
    for other in (backwards, unaligned):
        leaf = other.detach().requires_grad_()
        spikes, last, _ = quantized_lif(leaf, v.mT.contiguous().mT, 1.0, parameters, backend="cpp")
        assert torch.equal(spikes, straight[0])
        assert torch.equal(last, straight[1])
        (spikes * 2).sum().backward()
        assert leaf.grad.shape == leaf.shape


def test_one_state_for_all_is_that_state_for_each():
    x_seq, _ = inputs((4, 37))
    one = torch.tensor(0.5, requires_grad=True)
    each = torch.full((37,), 0.5, requires_grad=True)
    for v in (one, each):
        spikes, last, _ = quantized_lif(x_seq, v, 1.0, Parameters(), backend="cpp")
        (spikes.sum() + last.sum()).backward()
    torch.testing.assert_close(one.grad, each.grad.sum())
    (spikes, last, _), (from_number, its_last, _) = (
        quantized_lif(x_seq, v, 1.0, Parameters(), backend="cpp") for v in (each, 0.5)
    )
    assert torch.equal(spikes, from_number)
    assert torch.equal(last, its_last)


def test_a_scale_is_one_number():
    x_seq, v = inputs((3, 5))
    grads = []
    for backend in ("cpp", "reference"):
        scale = torch.tensor([1.25], requires_grad=True)
        last = quantized_lif(x_seq, v, 1.0, Parameters(UNIFORM[7][0]), scale, backend=backend)[1]
        last.square().sum().backward()
        grads.append(scale.grad)
    torch.testing.assert_close(*grads)
    running = Parameters(UNIFORM[2][0], scale="running")
    average = torch.tensor([1.25]), torch.tensor([1.0])
    ours, theirs = (
        quantized_lif(x_seq, v, 1.0, running, *average, backend=name)[1]
        for name in ("cpp", "reference")
    )
    assert torch.equal(ours, theirs)
    for name in ("scale", "initialized"):
        with pytest.raises(ArgumentError, match=f"{name}.shape=\\(5,\\)"):
            quantized_lif(x_seq, v, 1.0, running, **{name: torch.ones(5)})


def test_nan_stays_where_it_is():
    x_seq, _ = inputs((3, 40))
    x_seq[1, 7] = float("nan")
    for name in ("cpp", "reference"):
        spikes, last, _ = quantized_lif(x_seq, 0.0, 1.0, Parameters(), backend=name)
        assert last.isnan().nonzero().flatten().tolist() == [7]
        assert spikes[1:, 7].tolist() == [0.0, 0.0]


def test_nan_makes_the_step_s_maximum_nan():
    x_seq, _ = inputs((3, 40))
    x_seq[1, 7] = float("nan")
    parameters = Parameters(UNIFORM[4][0], scale="step_max")
    for name in ("cpp", "reference"):
        _, last, maxima = quantized_lif(x_seq, 0.0, 1.0, parameters, backend=name)
        assert maxima.isnan().tolist() == [False, True, True]
        assert last.isnan().all()


LEAKS = {
    "decay": {"decays": True, "v_reset": None},
    "decay, to rest": {"decays": True, "v_reset": -0.25},
    "decay, late, soft": LATE | {"v_reset": None},
    "decay, late, hard": LATE,
    "rate": {"has_rate": True},
    "rate, of the input": {"has_rate": True, "decay_input": True, "v_reset": -0.25},
}


@pytest.mark.parametrize("how", LEAKS.values(), ids=LEAKS)
@pytest.mark.parametrize("pruning", [None, *PRUNINGS.values()], ids=str)
@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("leak", [0.0, 0.25, 1.0])
def test_a_leak_learns(how, pruning, bits, leak):
    """Against the reference in double precision; a membrane of levels, and float32 with counts."""
    # a stored level does not tell how often to subtract
    membrane = MembraneSpec(
        kind="float" if bits > 1 and how == LEAKS["decay, late, soft"] else None
    )
    parameters = Parameters(membrane, SpikeSpec(bits=bits), LEARNED, **how)
    if pruning is not None:
        parameters = masked(parameters, pruning)
    x_seq, v = inputs((5, 3, 7, 40))
    x_seq = x_seq * 4 if parameters.decay_input else x_seq
    found = []
    for name, dtype in (("cpp", torch.float32), ("reference", torch.float64)):
        exactly = dtype if bits == 1 else torch.float32
        given = torch.tensor(leak, dtype=exactly, requires_grad=True)
        leaf, generator = x_seq.to(exactly).requires_grad_(), torch.Generator().manual_seed(1)
        arguments = leaf, v.to(exactly), 0.75, parameters
        spikes, last, _ = quantized_lif(*arguments, decay=given, backend=name)
        ups = [torch.randn(out.shape, generator=generator).to(exactly) for out in (spikes, last)]
        gradients = torch.autograd.grad([spikes, last], [leaf, given], ups)
        found.append((spikes, last, *gradients))
    ours, theirs = found
    assert torch.equal(ours[0], theirs[0].float())
    assert torch.equal(ours[1], theirs[1].float())
    assert ours[3].abs() > 0.01
    assert_gradients(ours[2:3], theirs[2:3])
    torch.testing.assert_close(ours[3].double(), theirs[3].double(), rtol=1e-5, atol=1e-4)


def test_a_leak_of_one_number_is_one_leak():
    x_seq, v = inputs((4, 2, 3))
    parameters, results = Parameters(decays=True, threshold=LEARNED), []
    for shape in ((), (1,), (1, 1)):
        given = torch.full(shape, 0.25, requires_grad=True)
        spikes, last, _ = quantized_lif(x_seq, v, 1.0, parameters, decay=given, backend="cpp")
        (grad,) = torch.autograd.grad(spikes.sum() + last.sum(), given)
        assert grad.shape == given.shape
        results.append((spikes, last, grad.reshape(())))
    for other in results[1:]:
        assert all(torch.equal(*pair) for pair in zip(results[0], other, strict=True))
    assert results[0][2] != 0


@pytest.mark.parametrize("name", ["v", "threshold"])
def test_whole_numbers_are_refused(name):
    """A stored membrane would lose its fraction."""
    x_seq, v = inputs((4, 3))
    given = {"v": v, "threshold": torch.tensor(1.0)}
    given[name] = given[name].int()
    with pytest.raises(ArgumentError, match=rf"{name}.dtype=torch.int32 is not allowed"):
        quantized_lif(x_seq, parameters=Parameters(), **given)


def test_a_decay_beyond_its_range_does_not_learn():
    x_seq, v = inputs((4, 30))
    for decay in (-0.5, 1.5):
        given = torch.tensor(decay, requires_grad=True)
        spikes, last, _ = quantized_lif(
            x_seq, v, 1.0, Parameters(decays=True), decay=given, backend="cpp"
        )
        (spikes.sum() + last.sum()).backward()
        assert given.grad == 0


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(9, len(CASES), 9))]
)
def test_sanitizers_find_nothing(number, tmp_path):
    """Every ninth neuron, over odd shapes in memory of exactly the size that may be touched."""
    dtype = list(VALUES)[number % 3]
    assert run_kernel_sanitized(CASES[number], dtype, number % 2 == 0, tmp_path) == 16
