"""The C++ kernel of masked membranes against its reference."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError, BackendError
from qsnn_plugins.ops.quantized_lif import Parameters, operator, quantized_lif
from qsnn_plugins.ops.quantized_lif.schema import VALUES, Inputs
from qsnn_plugins.spec import MembraneSpec, PruningSpec, ThresholdSpec
from tests.ops.quantized_lif.cases import (
    LATE,
    LEARNED,
    MASKED,
    PRUNINGS,
    SEPARATE,
    UNIFORM,
    inputs,
    masked,
    run,
)
from tests.ops.quantized_lif.sanitized import run_kernel_sanitized
from tests.toolchain import needs_compiler

pytestmark = [needs_compiler, pytest.mark.usefixtures("fresh_memory_is_nan")]
SPATIAL = PRUNINGS["accumulation"]


def assert_equal(ours, theirs, tolerance=1e-5):
    for mine, other in zip(ours[:3], theirs[:3], strict=True):
        assert torch.equal(mine, other.to(mine.dtype))
    for mine, other in zip(ours[3:], theirs[3:], strict=True):
        torch.testing.assert_close(mine, other.to(mine.dtype), rtol=tolerance, atol=tolerance)


# each neuron and each of the masks; all pairs are slow
QUICK = set(zip(MASKED, itertools.cycle(PRUNINGS), strict=False))


@pytest.mark.parametrize(
    ("neuron", "masks"),
    [
        pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.slow)
        for pair in itertools.product(MASKED, PRUNINGS)
    ],
)
def test_equals_the_reference(neuron, masks):
    parameters, pruning = MASKED[neuron], PRUNINGS[masks]
    x_seq, v = inputs((5, 3, 7, 4, 11))
    if parameters.decay_input:
        x_seq *= 2
    ours = run(masked(parameters, pruning), x_seq, v, 0.75, "cpp")
    is_dyadic = parameters.membrane.kind != "uniform" and parameters.spike.bits == 1
    exactly = torch.float64 if is_dyadic else torch.float32
    exact = run(masked(parameters, pruning), x_seq.to(exactly), v.to(exactly), 0.75, "reference")
    spikes, _, shares, *gradients = ours
    assert 0.02 < (spikes > 0).float().mean() < 0.7
    assert (shares > 0).all()
    assert all(gradient.abs().max() > 0.01 for gradient in gradients)
    assert_equal(ours, exact)


@pytest.mark.parametrize("pruning", PRUNINGS.values(), ids=PRUNINGS)
def test_of_numbers_that_are_no_fractions_of_two(pruning):
    parameters = Parameters(MembraneSpec(kind="float"), threshold=LEARNED, tau=3.0)
    generator = torch.Generator().manual_seed(5)
    x_seq, v = (torch.randn(s, generator=generator) for s in ((4, 5, 3, 9, 9), (5, 3, 9, 9)))
    ours, theirs = (
        run(masked(parameters, pruning), x_seq * 2, v, 0.9, name) for name in ("cpp", "reference")
    )
    assert_equal(ours, theirs)


@pytest.mark.parametrize(
    "shape",
    [
        *((1, 1, 1), (2, 3, 17), (3, 0, 4, 5), (3, 2, 5, 0), (2, 2, 3, 4099)),
        *((13, 2, 600, 2), (199, 2, 67), (700, 1, 3), (2, 1, 1, 3, 2100)),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_any_shape(shape, late):
    parameters = Parameters(threshold=LEARNED, **(LATE if late else {}))
    x_seq, v = inputs(shape)
    x_64, v_64 = x_seq.double(), v.double()
    ours = run(masked(parameters, SPATIAL), x_seq, v, 0.75, "cpp")
    if 0 in shape:
        assert ours[3].shape == shape
        return
    theirs = run(masked(parameters, SPATIAL), x_64, v_64, 0.75, "reference")
    for mine, other in zip(ours[:5], theirs[:5], strict=True):
        torch.testing.assert_close(mine, other.to(mine.dtype), rtol=1e-5, atol=1e-5)
    for mine, other in zip(ours[5:], theirs[5:], strict=True):
        torch.testing.assert_close(mine.double(), other, rtol=1e-4, atol=1e-3)


def cutoff_of(charges, ratio):
    """The cutoff of a sample whose first charge is `charges`."""
    parameters = Parameters(MembraneSpec(kind="float"), pruning=PruningSpec(ratio), tau=None)
    inputs = Inputs(charges.reshape(1, 1, -1), torch.tensor(0.0), torch.tensor(1.0))
    return operator.forward(*inputs, parameters.variant(), parameters.numbers())[5].flatten()


@pytest.mark.parametrize("size", [2, 3, 100, 4097, 65536])
@pytest.mark.parametrize("kind", ["normal", "of all magnitudes", "alike", "silent", "ties", "nan"])
def test_cutoffs_are_those_of_a_sorted_sample(size, kind):
    rng = np.random.default_rng(size)
    charges = rng.normal(size=size).astype(np.float32)
    if kind == "of all magnitudes":
        charges = rng.integers(0, 2**32, size, dtype=np.uint32).view(np.float32)
        charges[np.isnan(charges)] = np.inf
        charges[: size // 4] = 1e-41
    elif kind == "alike":
        charges = (1 + 1e-4 * charges).astype(np.float32)
    elif kind == "silent":
        charges = np.where(charges > 0, np.float32(-0.0), np.float32(0.0))
    elif kind == "ties":
        charges = np.round(charges * 4) / 4
    elif kind == "nan":
        charges[: size // 2] = np.nan
    ordered = np.sort(np.abs(charges))
    for ratio in (0.01, 0.35, 0.5, 0.999):
        place = int(ratio * size)
        cutoff = cutoff_of(torch.tensor(charges), ratio)
        expected = ordered[place] if place else 0.0
        assert np.array_equal(cutoff.numpy(), [np.float32(expected)], equal_nan=True)


def test_nan_is_kept_by_the_cutoff_and_stays_where_it_is():
    x_seq, _ = inputs((3, 2, 5, 8))
    x_seq[1, 0, 2, 3] = float("nan")
    parameters = Parameters(pruning=SPATIAL)
    for name in ("cpp", "reference"):
        spikes, last, _ = quantized_lif(x_seq, 0.0, 1.0, parameters, backend=name)
        assert last.isnan().nonzero().tolist() == [[0, 2, 3]]
        assert spikes[1:, 0, 2, 3].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("learning", ["ordinary", "separate"])
def test_each_channel_may_have_its_threshold(learning):
    parameters = Parameters(threshold=ThresholdSpec(gradient=learning), v_reset=None)
    x_seq, v = inputs((4, 2, 3, 5, 7))
    thresholds = torch.tensor([0.5, 1.0, 1.25]).reshape(3, 1, 1)
    ours, theirs = (
        run(masked(parameters, SPATIAL), x_seq.to(dtype), v.to(dtype), thresholds, name)
        for name, dtype in (("cpp", torch.float32), ("reference", torch.float64))
    )
    assert_equal(ours, theirs)
    assert ours[5].shape == thresholds.shape


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_input_is_computed_in_float32(dtype):
    parameters = Parameters(threshold=LEARNED)
    x_seq, v = inputs((6, 5, 7, 31), dtype=dtype)
    ours, theirs = (
        run(masked(parameters, SPATIAL), x_seq, v, 0.8, name) for name in ("cpp", "reference")
    )
    assert ours[0].dtype == ours[1].dtype == ours[3].dtype == ours[4].dtype == dtype
    assert_equal(ours[:5], theirs[:5], torch.finfo(dtype).eps)
    for mine, other in zip(ours[5:], theirs[5:], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("pruning", [None, SPATIAL], ids=["plain", "masked"])
def test_threads_do_not_change_a_bit(pruning):
    x_seq, v = inputs((4, 5, 3, 23, 101))
    parameters = Parameters(threshold=SEPARATE, v_reset=None, pruning=pruning)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(run(parameters, x_seq, v, 0.75, "cpp"))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_little_is_saved_besides_the_currents():
    x_seq, saved = torch.randn(4, 8, 6, 50, requires_grad=True) * 1.0, {}

    def keep(tensor):
        saved[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        arguments = x_seq, 0.0, torch.tensor(1.0), Parameters(pruning=SPATIAL)
        quantized_lif(*arguments, backend="cpp")
    assert saved.pop(x_seq.data_ptr()) == 4.0 * x_seq.numel()
    assert sum(saved.values()) == 4 * 8 * 4 + 8, "a cutoff per sample and step, and single numbers"


@pytest.mark.parametrize("returns_states", [False, True])
@pytest.mark.parametrize("pruning", [None, *PRUNINGS.values()], ids=str)
def test_the_operators_are_registered_in_full(pruning, returns_states):
    x_seq, v = inputs((3, 2, 5, 2))
    parameters = replace(MASKED["ternary"], pruning=pruning, returns_states=returns_states)
    given = Inputs(
        x_seq.requires_grad_(), v.requires_grad_(), torch.tensor(1.0, requires_grad=True)
    )
    kernel = parameters.variant(), parameters.numbers()
    torch.library.opcheck(operator.forward, (*given, *kernel))
    _, last, _, *saved, _ = operator.forward(*given, *kernel)
    first = torch.randn(3, 2, 5, 2), torch.randn_like(last), *saved
    detached = (None if tensor is None else tensor.detach() for tensor in given)
    torch.library.opcheck(operator.backward, (*first, *detached, *kernel))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_in_one_graph(backend):
    x_seq, _ = inputs((3, 2, 5, 6))
    parts = Parameters(threshold=LEARNED)

    def neuron(x_seq):
        built = Parameters(parts.membrane, parts.spike, parts.threshold, SPATIAL, tau=2.0)
        return quantized_lif(x_seq, 0.0, 0.75, built, backend="cpp")[0]

    torch._dynamo.reset()
    compiled = torch.compile(neuron, fullgraph=True, backend=backend)
    results = []
    for call in (compiled, neuron):
        leaf = x_seq.clone().requires_grad_()
        spikes = call(leaf)
        up = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(1))
        results.append((spikes, *torch.autograd.grad(spikes, leaf, up)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert results[0][1].abs().max() > 0.01


REFUSED = {
    r"blocks of 2 x 2 share an importance": (PruningSpec(0.35, block=2), torch.float32),
    r"x_seq has the dtype torch.float64": (PruningSpec(0.35), torch.float64),
}


@pytest.mark.parametrize(("reason", "given"), REFUSED.items())
def test_what_the_kernel_does_not_cover_goes_to_the_reference(reason, given, monkeypatch):
    pruning, dtype = given
    x_seq = torch.randn(2, 1, 3, 4, 4, dtype=dtype)
    monkeypatch.delenv("QSNN_BACKEND", raising=False)
    arguments = x_seq, 0.0, 1.0, Parameters(pruning=pruning)
    expected = quantized_lif(*arguments, backend="reference")
    found = quantized_lif(*arguments)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    monkeypatch.setenv("QSNN_BACKEND", "cpp")
    with pytest.raises(BackendError, match=reason):
        quantized_lif(*arguments)


def test_bad_arguments_are_named():
    x_seq, spatial = torch.zeros(2, 3, 4), Parameters(pruning=SPATIAL)
    with pytest.raises(ArgumentError, match=r"x_seq\.shape=\(2, 3\)"):
        quantized_lif(torch.zeros(2, 3), 0.0, 1.0, spatial)
    with pytest.raises(ArgumentError, match=r"v\.shape=\(4,\)"):
        quantized_lif(x_seq, torch.zeros(4), 1.0, spatial)
    with pytest.raises(ArgumentError, match=r"scale='step_max' is not allowed: give 'given'"):
        Parameters(UNIFORM[4][0], pruning=SPATIAL, scale="step_max")


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, len(MASKED)))]
)
def test_sanitizers_find_nothing(number, tmp_path):
    """Every neuron with one of the masks, in memory of exactly the size that may be touched."""
    neuron = masked(list(MASKED.values())[number], list(PRUNINGS.values())[number % 2])
    dtype = list(VALUES)[number % 3]
    assert run_kernel_sanitized(neuron, dtype, number % 2 == 0, tmp_path) == 20
