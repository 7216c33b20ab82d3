"""Shymyrbay et al.'s Eq. 6 to 9 and 13 to 15, as mended, against numpy in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import (
    linear_temperature,
    middle_thresholds,
    sigmoid_quantizer,
    sigmoid_quantizer_codes,
    symmetric_levels,
)
from tests.functional import quantizer_checks as checks

RNG = np.random.default_rng(0)
W, UPSTREAM = RNG.normal(size=(4, 9)), RNG.normal(size=(4, 9))
ALPHA, BETA = 0.4, 2.3


def f64(value, **kwargs):
    return torch.tensor(value, dtype=torch.float64, **kwargs)


def sigmoids(w, beta, thresholds, temperature):
    z = temperature * (beta * w[..., None] - np.array(thresholds))
    return 1 / (1 + np.exp(-np.clip(z, -60, 60)))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_soft_forward_and_the_printed_gradients(bits):
    levels = symmetric_levels(bits)
    thresholds, s, temperature = middle_thresholds(levels), np.diff(levels), 1.7
    w, a, b = (f64(v, requires_grad=True) for v in (W, ALPHA, BETA))
    q = sigmoid_quantizer(w, a, b, thresholds, levels, temperature)
    q.backward(f64(UPSTREAM))
    y = sigmoids(W, BETA, thresholds, temperature)
    expected = ALPHA * ((s * y).sum(-1) - s.sum() / 2)
    np.testing.assert_allclose(q.detach().numpy(), expected, rtol=1e-9, atol=1e-11)
    # Eq. 13: sum_i T beta / (alpha s_i) g_i (alpha s_i - g_i) with g_i = alpha s_i sigma_i
    g = ALPHA * s * y
    inner = (g * (ALPHA * s - g) / (ALPHA * s)).sum(-1) * temperature
    np.testing.assert_allclose(w.grad.numpy(), UPSTREAM * BETA * inner, rtol=1e-7, atol=1e-11)
    # Eq. 14 and 15
    np.testing.assert_allclose(a.grad.item(), (UPSTREAM * expected / ALPHA).sum(), rtol=1e-7)
    np.testing.assert_allclose(b.grad.item(), (UPSTREAM * W * inner).sum(), rtol=1e-7)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_gradcheck(bits, temperature):
    levels = symmetric_levels(bits)
    inputs = tuple(f64(v, requires_grad=True) for v in (W[:2], ALPHA, BETA))

    def soft(w, a, b):
        return sigmoid_quantizer(w, a, b, middle_thresholds(levels), levels, temperature)

    assert torch.autograd.gradcheck(soft, inputs)
    assert bits > 2 or torch.autograd.gradgradcheck(soft, inputs)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_hard_forward_and_its_limit(bits):
    levels = symmetric_levels(bits)
    thresholds, s = np.array(middle_thresholds(levels)), np.diff(levels)
    arguments = (f64(W), f64(ALPHA), f64(BETA), tuple(thresholds), levels)
    hard = sigmoid_quantizer(*arguments, hard=True).numpy()
    steps = (BETA * W[..., None] - thresholds >= 0).astype(float)
    np.testing.assert_allclose(hard, ALPHA * ((s * steps).sum(-1) - s.sum() / 2), atol=1e-14)
    soft = sigmoid_quantizer(*arguments, temperature=2000.0).numpy()
    far = (np.abs(BETA * W[..., None] - thresholds) > 0.01).all(-1)
    np.testing.assert_allclose(soft[far], hard[far], atol=1e-6)


def test_a_weight_on_a_border_takes_the_step():
    one, w = f64(1.0), f64([-0.5, 0.5])
    assert sigmoid_quantizer(w, one, one, (-0.5, 0.5), (-1, 0, 1), hard=True).tolist() == [0, 1]
    assert sigmoid_quantizer(f64([0.0]), one, one, (0.0,), (-1, 1), hard=True).item() == 1


def test_hard_passes_a_gradient_to_alpha_alone():
    w, a, b = (f64(v, requires_grad=True) for v in (W, ALPHA, BETA))
    sigmoid_quantizer(w, a, b, (-0.5, 0.5), (-1, 0, 1), hard=True).backward(f64(UPSTREAM))
    level = np.where(BETA * W >= 0.5, 1, np.where(BETA * W >= -0.5, 0, -1))
    np.testing.assert_allclose(a.grad.item(), (UPSTREAM * level).sum(), rtol=1e-12)
    assert w.grad is None or w.grad.abs().max() == 0
    assert b.grad is None or b.grad.abs().max() == 0


def test_slope_temperature_is_that_of_the_backward():
    w, a, b = (f64(v, requires_grad=True) for v in (W, ALPHA, BETA))
    sigmoid_quantizer(w, a, b, (0.0,), (-1, 1), temperature=50.0, slope_temperature=1.0).backward(
        f64(UPSTREAM)
    )
    y = sigmoids(W, BETA, (0.0,), 1.0)[..., 0]
    expected = UPSTREAM * ALPHA * BETA * 50 * 2 * y * (1 - y)
    np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-9)


def test_exponent_is_clamped():
    w = f64([-1.0, 1.0])
    q = sigmoid_quantizer(w, f64(1.0), f64(1.0), (0.0,), (-1, 1), 1e6, max_exponent=10.0)
    np.testing.assert_allclose(q.numpy(), [-np.tanh(5), np.tanh(5)], rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("hard", [False, True])
def test_nothing_overflows_and_dtype_is_kept(dtype, hard):
    w = torch.tensor([-6e4, -1.0, 0.0, 1e-7, 6e4], dtype=dtype, requires_grad=True)
    a, b = torch.tensor(1.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    q = sigmoid_quantizer(w, a, b, (-0.5, 0.5), (-1, 0, 1), 2000.0, hard)
    q.sum().backward()
    assert q.dtype == dtype
    assert q.isfinite().all()
    assert a.grad.isfinite()
    assert w.grad is None or w.grad.isfinite().all()
    assert b.grad is None or b.grad.isfinite()


@given(w=checks.WEIGHTS, alpha=checks.SCALES, bits=st.sampled_from([1, 2, 4, 8]))
def test_properties(w, alpha, bits):
    levels, a = symmetric_levels(bits), torch.tensor(alpha, dtype=torch.float32)
    thresholds = middle_thresholds(levels)

    def quantize(x, hard=True):
        return sigmoid_quantizer(torch.tensor(x), a, 1 / a, thresholds, levels, 4.0, hard).numpy()

    codes, unit = sigmoid_quantizer_codes(torch.tensor(w), a, 1 / a, thresholds, levels)
    checks.check_few_levels(levels, bits)
    checks.check_on_grid(quantize, w, levels, unit.item())
    checks.check_idempotent(quantize, w)
    checks.check_monotone(quantize, w)
    off_threshold = ~np.isin((torch.tensor(w) * (1 / a)).abs().numpy(), np.abs(thresholds))
    checks.check_odd(quantize, w[off_threshold])
    checks.check_nearest(quantize, w, levels, unit.item())
    assert set(codes.tolist()) <= set(levels)
    np.testing.assert_array_equal((codes * unit).numpy(), quantize(w))
    soft = quantize(np.sort(w), hard=False)
    assert (np.diff(soft) >= -1e-5 * alpha * levels[-1]).all()


def test_temperature_schedules():
    assert [linear_temperature(e) for e in (0, 1, 99)] == [1, 3, 199]
    yang = [linear_temperature(e, start=20, rate=20) for e in (0, 1, 500)]
    assert yang == [20, 40, 2000]
    for name, value in (("epoch", -1), ("start", 0.0), ("rate", -1.0)):
        with pytest.raises(ArgumentError, match=f"{name}="):
            linear_temperature(**{"epoch": 0, name: value})


def test_nan_stays():
    w, one = torch.tensor([float("nan"), 0.3]), torch.tensor(1.0)
    for hard in (False, True):
        q = sigmoid_quantizer(w, one, one, (0.0,), (-1, 1), hard=hard)
        assert q.isnan().tolist() == [True, False]
    with pytest.raises(ArgumentError, match="finite"):
        sigmoid_quantizer_codes(w, one, one, (0.0,), (-1, 1))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("levels", {"levels": (1, -1)}),
        ("levels", {"levels": (1,), "thresholds": ()}),
        ("thresholds", {"thresholds": (0.0, 1.0)}),
        ("temperature", {"temperature": 0.0}),
        ("max_exponent", {"max_exponent": 0.0}),
        (r"w\.dtype", {"w": torch.ones(2, dtype=torch.int32)}),
    ],
)
def test_refused(name, arguments):
    one = torch.tensor(1.0)
    defaults = {
        "w": torch.ones(2),
        "alpha": one,
        "beta": one,
        "thresholds": (0.0,),
        "levels": (-1, 1),
    }
    with pytest.raises(ArgumentError, match=f"{name}="):
        sigmoid_quantizer(**{**defaults, **arguments})
