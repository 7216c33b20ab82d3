import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import (
    RELEASED_LEVELS,
    TERNARY,
    clip_membrane,
    nearest_level,
    pruned_level,
)

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
MANY = tuple(np.linspace(-1, 1.2, 16))

# multiples of 1/1024: numpy's distances to the levels are exact
floats = st.integers(-(10**7), 10**7).map(lambda i: i / 1024) | st.integers(-80, 80).map(
    lambda i: i / 32
)
level_sets = st.lists(
    st.integers(-64, 64).map(lambda i: i / 16), min_size=2, max_size=20, unique=True
).map(lambda values: tuple(sorted(values)))


def nearest(u, levels):
    """The first of the closest levels, so that ties go to the lower one, in numpy."""
    return np.asarray(levels)[np.abs(u[..., None] - np.asarray(levels)).argmin(-1)]


@given(st.lists(floats, min_size=1), level_sets)
@settings(max_examples=150, deadline=None)
def test_nearest_level_against_numpy(values, levels):
    u = np.array(values)
    q = nearest_level(torch.tensor(u), levels)
    assert np.array_equal(q.numpy(), nearest(u, levels))
    assert torch.equal(nearest_level(q, levels), q)  # idempotent
    sorted_q = nearest_level(torch.tensor(np.sort(u)), levels)
    assert (sorted_q.diff() >= 0).all()  # monotone


@given(st.lists(st.floats(-3, 3), min_size=1))
@settings(deadline=None)
def test_ternary_is_odd_but_for_its_ties(values):
    u = torch.tensor([v for v in values if abs(v) != 0.5], dtype=torch.float64)
    assert torch.equal(nearest_level(-u), -nearest_level(u))


@pytest.mark.parametrize("quantize", [nearest_level, pruned_level])
def test_ties_and_edges_of_the_ternary_levels(quantize):
    """IM-SNN Eq. 5 as mended: a resting 0 stays 0, ties go down."""
    u = torch.tensor([-9.0, -0.5001, -0.5, -0.4999, 0.0, 0.5, 0.5001, 9.0, float("inf")])
    expected = torch.tensor([-1.0, -1, -1, 0, 0, 0, 1, 1, 1])
    if quantize is pruned_level:
        expected = expected.clamp(min=0)
    assert torch.equal(quantize(u), expected)


def test_released_levels_are_five():
    u = torch.linspace(-4, 2, 601, dtype=torch.float64)
    q = nearest_level(u, RELEASED_LEVELS)
    assert np.array_equal(q.numpy(), nearest(u.numpy(), [-3, -2, -1, 0, 1]))


@given(st.lists(floats, min_size=1), level_sets.filter(lambda levels: 0 in levels))
@settings(deadline=None)
def test_pruned_level_silences_what_is_negative(values, levels):
    u = torch.tensor(values, dtype=torch.float64)
    q = pruned_level(u, levels)
    assert np.array_equal(q.numpy(), np.maximum(nearest(u.numpy(), levels), 0))
    assert torch.equal(pruned_level(q, levels), q)


def test_pruned_level_has_no_gradient_where_it_silences():
    u = torch.tensor([-2.0, -0.51, -0.49, 0.0, 0.7], dtype=torch.float64)
    ours, whole = u.clone().requires_grad_(), u.clone().requires_grad_()
    pruned_level(ours).sum().backward()
    nearest_level(whole).sum().backward()
    assert ours.grad.tolist() == [0, 0, *whole.grad.tolist()[2:]]
    assert whole.grad.abs().min() > 0


def test_straight_through_gradients():
    u = np.array([-1.5, -1.0, -0.2, 0.5, 1.0, 1.01, 4.0])
    upstream = torch.arange(1.0, 8.0, dtype=torch.float64)
    for gradient, slope in (
        ("straight_through", np.ones(7)),
        ("clipped_straight_through", (np.abs(u) <= 1).astype(float)),
    ):
        leaf = torch.tensor(u, requires_grad=True)
        nearest_level(leaf, TERNARY, gradient).backward(upstream)
        assert np.array_equal(leaf.grad.numpy(), upstream.numpy() * slope)


def test_clip_membrane_against_numpy_and_gradcheck():
    u = np.random.default_rng(0).normal(size=300) * 4
    for lower in (-5.0, -4.0, -3.0, -2.0, -1.0):  # IM-SNN Table I
        ours = clip_membrane(torch.tensor(u), lower)
        assert np.array_equal(ours.numpy(), np.clip(u, lower, 1.0))
    leaf = torch.tensor(u, requires_grad=True)
    assert torch.autograd.gradcheck(clip_membrane, (leaf,))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("levels", [TERNARY, MANY], ids=len)
def test_dtype_is_kept_on_the_grid(dtype, levels):
    u = torch.randn(200, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    for quantize in (lambda u: nearest_level(u, levels), pruned_level, clip_membrane):
        q = quantize(u)
        (grad,) = torch.autograd.grad(q.sum(), u)
        assert q.dtype == grad.dtype == dtype
        assert torch.equal(quantize(q), q)
    grid = torch.tensor(levels, dtype=dtype)
    assert torch.isin(nearest_level(u, levels), grid).all()


@pytest.mark.parametrize("levels", [TERNARY, MANY], ids=len)
def test_nan_stays_nan(levels):
    u = torch.tensor([float("nan"), 0.7])
    assert nearest_level(u, levels).isnan().tolist() == [True, False]
    assert pruned_level(u).isnan().tolist() == [True, False]
    assert clip_membrane(u).isnan().tolist() == [True, False]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nearest_level(torch.zeros(1), (1.0,)), r"levels=\(1\.0,\) is not allowed: give"),
        (lambda: nearest_level(torch.zeros(1), (1, 0)), r"levels=\(1, 0\)"),
        (lambda: nearest_level(torch.zeros(1), gradient="none"), "gradient='none' is not allowed"),
        (lambda: nearest_level(torch.zeros(1), smoothness=-2.0), r"smoothness=-2\.0"),
        (lambda: nearest_level(torch.zeros(1), surrogate="x"), "surrogate='x'"),
        (lambda: nearest_level(torch.zeros(1).int()), r"u\.dtype=torch\.int32"),
        (lambda: pruned_level(torch.zeros(1), (1.0, 2.0)), "give levels with 0 among them"),
        (lambda: clip_membrane(torch.zeros(1), 1.0, 1.0), r"lower=1\.0 is not allowed"),
        (lambda: clip_membrane(torch.zeros(1).long()), r"u\.dtype=torch\.int64"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_to_the_level_of_float32(dtype):
    u = torch.linspace(-0.1, 1.1, 4001).to(dtype)
    for levels in ((0.0, 0.6, 1.0), tuple(i / 10 for i in range(11))):
        expected = nearest_level(u.float(), levels).to(dtype)
        assert torch.equal(nearest_level(u, levels), expected)
