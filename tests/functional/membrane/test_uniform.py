import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import (
    average_scale,
    mint,
    nearest_level,
    primitive,
    step_max,
    tanh_membrane,
    uniform_levels,
    uniform_membrane,
)

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
BITS = range(1, 9)


def eq8(u, alpha, bits):
    """Q-SNN Eq. 8 in numpy with n = 2^(k-1) - 1; one bit is 0 or alpha."""
    if bits == 1:
        return alpha * np.round(np.clip(u / alpha, 0, 1))
    n = 2 ** (bits - 1) - 1
    return alpha / n * np.round(n * np.clip(u / alpha, -1, 1))


@pytest.mark.parametrize("alpha", [1.0, 0.3, 7.5])
@pytest.mark.parametrize("bits", BITS)
def test_uniform_membrane_is_eq_8(bits, alpha):
    u = np.random.default_rng(bits).uniform(-1.5, 1.5, 9000) * alpha
    ours = uniform_membrane(torch.tensor(u), alpha, bits).numpy()
    np.testing.assert_allclose(ours, eq8(u, alpha, bits), rtol=1e-14, atol=0)
    assert len(np.unique(ours)) <= 2**bits
    assert len(np.unique(ours)) == max(2, 2**bits - 1)


@pytest.mark.parametrize("dtype", DTYPES)
@given(
    values=st.lists(st.floats(-20, 20, width=16), min_size=1),
    alpha=st.floats(0.0625, 10.0, width=16),
    bits=st.sampled_from(BITS),
)
@settings(max_examples=100, deadline=None)
def test_on_the_grid_idempotent_monotone_odd(dtype, values, alpha, bits):
    u = torch.tensor(sorted(values), dtype=dtype)
    alpha = torch.tensor(alpha, dtype=dtype)
    q = uniform_membrane(u, alpha, bits)
    wide = torch.promote_types(dtype, torch.float32)
    grid = (alpha.to(wide) * torch.tensor(uniform_levels(bits), dtype=wide)).to(dtype)
    assert q.dtype == dtype
    assert torch.isin(q, grid).all()
    assert torch.equal(uniform_membrane(q, alpha, bits), q)
    assert (q.diff() >= 0).all()
    if bits > 1:
        assert torch.equal(uniform_membrane(-u, alpha, bits), -q)


def test_two_bits_are_the_ternary_levels_but_for_ties():
    u = torch.randn(2000, dtype=torch.float64)
    assert torch.equal(uniform_membrane(u, 1.0, 2), nearest_level(u))


@pytest.mark.parametrize("bits", BITS)
def test_straight_through_gradient_of_membrane_and_scale(bits):
    """The rounding taken as a constant offset, so that Q = u + offset inside, ±α beyond."""
    rng, alpha = np.random.default_rng(0), 0.8
    u, upstream = rng.normal(size=400), rng.normal(size=400)
    leaf = torch.tensor(u, requires_grad=True)
    scale = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
    uniform_membrane(leaf, scale, bits).backward(torch.tensor(upstream))
    lowest = 0 if bits == 1 else -1
    inside = (u / alpha >= lowest) & (u / alpha <= 1)
    assert np.array_equal(leaf.grad.numpy(), upstream * inside)
    of_scale = eq8(u, alpha, bits) / alpha - np.where(inside, u / alpha, 0)
    np.testing.assert_allclose(scale.grad.item(), (upstream * of_scale).sum(), rtol=1e-10)


def test_scale_of_a_channel_gets_its_own_gradient():
    u, scale = torch.randn(5, 3, 4), torch.tensor([[0.5], [1.0], [2.0]], requires_grad=True)
    uniform_membrane(u, scale, 3).sum().backward()
    for channel in range(3):
        alone = torch.tensor(scale[channel].item(), requires_grad=True)
        uniform_membrane(u[:, channel], alone, 3).sum().backward()
        torch.testing.assert_close(scale.grad[channel, 0], alone.grad)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_stacked_gradient_is_the_slope_of_a_sum_of_sigmoids(bits):
    rng, alpha, smoothness, step = np.random.default_rng(2), 1.7, 6.0, 1e-6
    u, upstream, levels = rng.normal(size=300), rng.normal(size=300), uniform_levels(bits)

    def smooth(u, alpha):
        over = torch.tensor(u / alpha)
        return alpha * sum(
            (b - a) * primitive(over - (a + b) / 2, "sigmoid", smoothness).numpy()
            for a, b in itertools.pairwise(levels)
        )

    leaf = torch.tensor(u, requires_grad=True)
    uniform_membrane(leaf, alpha, bits, "stacked", "sigmoid", smoothness).backward(
        torch.tensor(upstream)
    )
    difference = (smooth(u + step, alpha) - smooth(u - step, alpha)) / (2 * step)
    np.testing.assert_allclose(leaf.grad.numpy(), upstream * difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("bits", BITS)
def test_tanh_membrane_is_its_formula(bits):
    """Q-SNN's released u_q, alpha = max|tanh u|; with another alpha MINT's quantizer."""
    u = np.random.default_rng(1).normal(size=2000) * 2
    for beta in (0.4, np.abs(np.tanh(u)).max()):
        ours = tanh_membrane(torch.tensor(u), float(beta), bits)
        np.testing.assert_allclose(ours.numpy(), eq8(np.tanh(u), beta, bits), rtol=1e-13, atol=0)
        if bits > 1:
            peer = mint(torch.tensor(u), torch.tensor(float(beta), dtype=torch.float64), bits)
            torch.testing.assert_close(ours, peer, rtol=1e-13, atol=0)
    leaf = torch.tensor(u, requires_grad=True)
    tanh_membrane(leaf, 0.4, bits).sum().backward()
    over = np.tanh(u) / 0.4
    inside = (over >= (0 if bits == 1 else -1)) & (over <= 1)
    np.testing.assert_allclose(leaf.grad.numpy(), inside * (1 - np.tanh(u) ** 2), rtol=1e-10)


def test_tanh_membrane_is_not_idempotent():
    u = torch.tensor([0.9], dtype=torch.float64)
    once = tanh_membrane(u, 0.7, 8)
    assert not torch.equal(tanh_membrane(once, 0.7, 8), once)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", BITS)
def test_a_silent_layer_stores_zeros(bits, dtype):
    u = torch.zeros(4, dtype=dtype, requires_grad=True)
    scale = torch.zeros((), requires_grad=True)
    q = uniform_membrane(u, scale, bits)
    q.sum().backward()
    assert q.tolist() == [0] * 4
    assert u.grad.isfinite().all()
    assert scale.grad.isfinite()
    assert step_max(u) == 0
    assert step_max(torch.empty(0, 3)) == 0


def test_step_max_keeps_the_greatest_membrane_and_is_idempotent():
    u = torch.randn(64, generator=torch.Generator().manual_seed(0))
    for bits in range(2, 9):
        q = uniform_membrane(u, step_max(u), bits)
        assert torch.equal(step_max(q), step_max(u))
        assert torch.equal(uniform_membrane(q, step_max(q), bits), q)


def test_nan_stays_nan():
    assert uniform_membrane(torch.tensor([float("nan"), 0.6])).isnan().tolist() == [True, False]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uniform_membrane(torch.zeros(1), bits=0), "bits=0 is not allowed: give an int"),
        (lambda: uniform_membrane(torch.zeros(1), bits=True), "bits=True"),
        (lambda: uniform_membrane(torch.zeros(1), bits=9), "bits=9"),
        (lambda: uniform_membrane(torch.zeros(1), 0.0), r"scale=0\.0 is not allowed"),
        (lambda: uniform_membrane(torch.zeros(1).int()), r"u\.dtype=torch\.int32"),
        (lambda: uniform_membrane(torch.zeros(1), torch.tensor(1)), r"scale\.dtype=torch\.int64"),
        (lambda: uniform_membrane(torch.zeros(1), gradient="x"), "gradient='x'"),
        (lambda: tanh_membrane(torch.zeros(1).int(), 1.0), r"u\.dtype=torch\.int32"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_the_average_of_the_maxima_against_numpy():
    scale, initialized, maxima = torch.tensor(1.0), torch.tensor(False), [0.0, 3.0, 0.0, 1.0, 2.0]
    expected = [1.0, 3.0, 3.0, 3.0 + 0.25 * (1.0 - 3.0), 2.5 + 0.25 * (2.0 - 2.5)]
    for greatest, average in zip(maxima, expected, strict=True):
        scale, initialized = average_scale(
            scale, initialized, torch.tensor(greatest), momentum=0.25
        )
        assert scale.item() == average
    assert initialized


@pytest.mark.parametrize("greatest", [torch.inf, torch.nan, 0.0])
@pytest.mark.parametrize("initialized", [True, False])
def test_no_average_takes_what_is_not_finite(greatest, initialized):
    before = torch.tensor(2.0), torch.tensor(initialized)
    assert average_scale(*before, torch.tensor(greatest)) == before
