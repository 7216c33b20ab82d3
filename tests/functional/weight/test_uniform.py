"""Bit budget Eq. 5, mended, against numpy in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import uniform, uniform_codes
from tests.functional import quantizer_checks as checks


def eq_5(w, scale, bits):
    """Round(w / delta) delta within [-1, 1], times the scale; one bit is the sign."""
    if bits == 1:
        return np.where(w >= 0, scale, -scale)
    delta = 1 / (2 ** (bits - 1) - 1)
    return scale * delta * np.rint(np.clip(w / scale, -1, 1) / delta)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("gradient", ["straight_through", "clipped_straight_through"])
def test_forward_and_backward(bits, gradient):
    rng = np.random.default_rng(bits)
    w, upstream = rng.normal(size=(4, 3, 5)), rng.normal(size=(4, 3, 5))
    scale = rng.uniform(0.3, 1.5, size=(4, 1, 1))
    x, s = (torch.tensor(a, requires_grad=True) for a in (w, scale))
    q = uniform(x, s, bits, gradient)
    q.backward(torch.tensor(upstream))
    expected = eq_5(w, scale, bits)
    np.testing.assert_allclose(q.detach().numpy(), expected, rtol=1e-13, atol=1e-15)
    inside = np.abs(w) <= scale
    passed = inside if gradient == "clipped_straight_through" else 1
    np.testing.assert_array_equal(x.grad.numpy(), upstream * passed)
    slope = np.where(inside, (expected - w) / scale, np.sign(w))
    slope = np.sign(w) if bits == 1 else slope
    expected_grad = (upstream * slope).sum((1, 2), keepdims=True)
    np.testing.assert_allclose(s.grad.numpy(), expected_grad, rtol=1e-11, atol=1e-13)


def test_scale_of_one_is_the_letter_of_eq_5():
    w = torch.tensor([-1.7, -0.3, 0.2, 0.34, 0.9])
    np.testing.assert_allclose(uniform(w, torch.tensor(1.0), 3), [-1, -1 / 3, 1 / 3, 1 / 3, 1])


@given(w=checks.WEIGHTS, scale=checks.SCALES, bits=st.integers(1, 8))
def test_properties(w, scale, bits):
    s = torch.tensor(scale, dtype=torch.float32)
    steps = 2 ** (bits - 1) - 1
    levels = list(range(-steps, steps + 1)) if bits > 1 else [-1, 1]

    def quantize(x):
        return uniform(torch.tensor(x), s, bits).numpy()

    codes, unit = uniform_codes(torch.tensor(w), s, bits)
    checks.check_few_levels(levels, bits)
    checks.check_on_grid(quantize, w, levels, unit.item())
    checks.check_idempotent(quantize, w)
    checks.check_monotone(quantize, w)
    checks.check_odd(quantize, w[w != 0] if bits == 1 else w)
    checks.check_nearest(quantize, w, levels, unit.item())
    assert set(codes.tolist()) <= set(levels)
    np.testing.assert_array_equal((codes * unit).numpy(), quantize(w))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("bits", [1, 2, 8])
def test_dtype_is_kept_and_codes_give_the_same_weight(dtype, bits):
    w, scale = torch.linspace(-2, 2, 33, dtype=dtype), torch.tensor(0.7)
    codes, unit = uniform_codes(w, scale, bits)
    q = uniform(w, scale, bits)
    assert q.dtype == dtype
    assert torch.equal((codes * unit).to(dtype), q)


@pytest.mark.parametrize("bits", [1, 4])
def test_silent_layer_and_nan(bits):
    zero = torch.zeros(3, requires_grad=True)
    q = uniform(zero, torch.tensor(0.0), bits)
    q.sum().backward()
    assert q.tolist() == [0, 0, 0]
    assert zero.grad.isfinite().all()
    assert uniform(torch.tensor([float("nan")]), torch.tensor(1.0), bits).isnan().all()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("bits", {"bits": 0}),
        ("bits", {"bits": 9}),
        ("gradient", {"gradient": "none"}),
        (r"w\.dtype", {"w": torch.ones(2, dtype=torch.int32)}),
    ],
)
def test_refused(name, arguments):
    with pytest.raises(ArgumentError, match=f"{name}="):
        uniform(**{"w": torch.ones(2), "scale": torch.tensor(1.0), **arguments})


def test_a_scale_of_0_has_a_gradient():
    w, scale = torch.zeros(3, requires_grad=True), torch.tensor(0.0, requires_grad=True)
    uniform(w, scale).sum().backward()
    assert scale.grad == 0


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_an_infinite_weight_has_no_code(value):
    with pytest.raises(ArgumentError, match="finite weights"):
        uniform_codes(torch.tensor([value, 1.0]), torch.tensor(1.0))
