"""The released quantizer of IM-SNN and SpQuant-SNN against numpy in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import statistical, statistical_bound, statistical_codes
from tests.functional import quantizer_checks as checks

RNG = np.random.default_rng(0)
W, UPSTREAM = RNG.normal(size=(6, 5, 3)), RNG.normal(size=(6, 5, 3))


@pytest.mark.parametrize("bits", [4, 8])
def test_uniform_widths(bits):
    x = torch.tensor(W, requires_grad=True)
    q = statistical(x, bits)
    q.backward(torch.tensor(UPSTREAM))
    alpha, steps = 2 * np.abs(W).mean(), 2 ** (bits - 1) - 1
    expected = np.rint(np.clip(W, -alpha, alpha) * steps / alpha) * alpha / steps
    np.testing.assert_allclose(q.detach().numpy(), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(x.grad.numpy(), UPSTREAM * (np.abs(W) <= alpha))


def test_ternary():
    x = torch.tensor(W, requires_grad=True)
    q = statistical(x, 2)
    q.backward(torch.tensor(UPSTREAM))
    kept = np.abs(W) >= 0.05 * np.abs(W).max()
    assert 0 < kept.sum() < kept.size
    expected = np.where(kept, np.sign(W) * np.abs(W)[kept].mean(), 0)
    np.testing.assert_allclose(q.detach().numpy(), expected, rtol=1e-12)
    np.testing.assert_array_equal(x.grad.numpy(), UPSTREAM)


def test_bound_has_no_gradient():
    w = torch.tensor([1.0, -3.0], requires_grad=True)
    assert statistical_bound(w).item() == 4
    assert not statistical_bound(w).requires_grad


@given(w=checks.WEIGHTS, bits=st.integers(2, 8))
def test_properties(w, bits):
    steps = 2 ** (bits - 1) - 1
    codes, unit = statistical_codes(torch.tensor(w), bits)
    quantized = statistical(torch.tensor(w), bits).numpy()
    assert np.isfinite(quantized).all()
    assert np.abs(codes.numpy()).max() <= steps
    np.testing.assert_array_equal((codes * unit).numpy(), quantized)
    order = np.argsort(w)
    assert (np.diff(quantized[order]) >= 0).all()
    np.testing.assert_array_equal(statistical(torch.tensor(-w), bits).numpy(), -quantized)


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept_and_codes_give_the_same_weight(bits, dtype):
    w = torch.tensor(W, dtype=dtype)
    codes, unit = statistical_codes(w, bits)
    assert statistical(w, bits).dtype == dtype
    assert torch.equal((codes * unit).to(dtype), statistical(w, bits))


@pytest.mark.parametrize("bits", [2, 4])
def test_silent_layer_and_nan(bits):
    zero = torch.zeros(4, requires_grad=True)
    q = statistical(zero, bits)
    q.sum().backward()
    assert q.tolist() == [0] * 4
    assert zero.grad.isfinite().all()
    assert statistical(torch.tensor([1.0, float("nan")]), bits).isnan().any()
    with pytest.raises(ArgumentError, match="finite"):
        statistical_codes(torch.tensor([1.0, float("nan")]), bits)


@pytest.mark.parametrize("bits", [1, 9])
def test_refused(bits):
    with pytest.raises(ArgumentError, match="bits="):
        statistical(torch.ones(1), bits)


def test_where_the_bound_of_the_code_would_settle():
    # α = 2 E min(|w|, α) of a standard Gaussian, in closed form
    bound = first = 2 * math.sqrt(2 / math.pi)
    for _ in range(1000):
        within = math.sqrt(2 / math.pi) * (1 - math.exp(-(bound**2) / 2))
        bound = 2 * (within + bound * math.erfc(bound / math.sqrt(2)))
    assert statistical_bound(torch.randn(10**6)) == pytest.approx(first, rel=0.01)
    assert 1 - bound / first == pytest.approx(0.079, abs=0.0005)  # as its docstring says
