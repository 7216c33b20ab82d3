"""MINT's quantizer against numpy in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import mint, mint_bound, mint_codes, mint_initial_beta
from tests.functional import quantizer_checks as checks


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("beta", [0.2, 0.6, 1.3])
def test_forward_and_backward(bits, beta):
    rng = np.random.default_rng(bits)
    x, upstream = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 4, 5))
    tensor = torch.tensor(x, requires_grad=True)
    b = torch.tensor(beta, dtype=torch.float64, requires_grad=True)
    q = mint(tensor, b, bits)
    q.backward(torch.tensor(upstream))
    n, y = 2 ** (bits - 1) - 1, np.tanh(x)
    expected = beta / n * np.rint(n * np.clip(y / beta, -1, 1))
    np.testing.assert_allclose(q.detach().numpy(), expected, rtol=1e-13, atol=1e-15)
    inside = np.abs(y) <= beta
    np.testing.assert_allclose(
        tensor.grad.numpy(), upstream * inside * (1 - y**2), rtol=1e-12, atol=1e-15
    )
    slope = np.where(inside, (expected - y) / beta, np.sign(y))
    np.testing.assert_allclose(b.grad.item(), (upstream * slope).sum(), rtol=1e-10)


def test_bound_and_start():
    w = np.random.default_rng(0).normal(size=(5, 7))
    np.testing.assert_allclose(mint_bound(torch.tensor(w)), np.abs(np.tanh(w)).max(), rtol=1e-14)
    for bits in (2, 4, 8):
        start = 2 * np.abs(w).mean() / np.sqrt(2 ** (bits - 1) - 1)
        np.testing.assert_allclose(mint_initial_beta(torch.tensor(w), bits), start, rtol=1e-14)
    assert not mint_bound(torch.tensor(w, requires_grad=True)).requires_grad


@given(x=checks.WEIGHTS, beta=st.floats(2.0**-6, 2, width=32), bits=st.integers(2, 8))
def test_properties(x, beta, bits):
    b, steps = torch.tensor(beta, dtype=torch.float32), 2 ** (bits - 1) - 1
    levels = range(-steps, steps + 1)

    def quantize(values):
        return mint(torch.tensor(values), b, bits).numpy()

    codes, unit = mint_codes(torch.tensor(x), b, bits)
    checks.check_few_levels(levels, bits)
    checks.check_on_grid(quantize, x, levels, unit.item())
    checks.check_monotone(quantize, x)
    checks.check_odd(quantize, x)
    np.testing.assert_array_equal((codes * unit).numpy(), quantize(x))


@given(x=checks.WEIGHTS, beta=st.floats(2.0**-6, 0.875), bits=st.integers(2, 8))
def test_idempotent_in_the_hyperbolic_tangent(x, beta, bits):
    b = torch.tensor(beta, dtype=torch.float64)
    once = mint(torch.tensor(x, dtype=torch.float64), b, bits)
    again = mint(torch.atanh(once), b, bits)
    np.testing.assert_array_equal(again.numpy(), once.numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept_and_codes_give_the_same_value(dtype):
    x, beta = torch.linspace(-3, 3, 31, dtype=dtype), torch.tensor(0.6)
    codes, unit = mint_codes(x, beta, 4)
    assert mint(x, beta, 4).dtype == dtype
    assert torch.equal((codes * unit).to(dtype), mint(x, beta, 4))


def test_silent_and_nan():
    zero = torch.zeros(3, requires_grad=True)
    q = mint(zero, mint_bound(zero), 4)
    q.sum().backward()
    assert q.tolist() == [0, 0, 0]
    assert zero.grad.isfinite().all()
    assert mint(torch.tensor([float("nan")]), torch.tensor(1.0)).isnan().all()


@pytest.mark.parametrize("bits", [0, 1, 9])
def test_refused(bits):
    for function in (mint, mint_codes):
        with pytest.raises(ArgumentError, match="bits="):
            function(torch.ones(1), torch.tensor(1.0), bits)
    with pytest.raises(ArgumentError, match=r"x\.dtype"):
        mint(torch.ones(1, dtype=torch.int32), torch.tensor(1.0))
