"""Q-SNN Eq. 6 and 7, and the error decay estimator, against numpy in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import binary, binary_codes, ede_schedule
from tests.functional import quantizer_checks as checks


def estimator(w, t, k):
    return k * t * (1 - np.tanh(t * w) ** 2)


SLOPES = {
    "straight_through": lambda w, t, k: np.ones_like(w),
    "clipped_straight_through": lambda w, t, k: (np.abs(w) <= 1).astype(w.dtype),
    "ede": estimator,
}


@pytest.mark.parametrize("gradient", SLOPES)
def test_forward_and_backward(gradient):
    rng = np.random.default_rng(0)
    w, upstream = 1.5 * rng.normal(size=(4, 3, 3)), rng.normal(size=(4, 3, 3))
    scale = np.abs(rng.normal(size=(4, 1, 1)))
    t, k = 0.6, 1 / 0.6
    x, s = (torch.tensor(a, requires_grad=True) for a in (w, scale))
    q = binary(x, s, gradient, t, k)
    q.backward(torch.tensor(upstream))
    np.testing.assert_array_equal(q.detach().numpy(), scale * np.where(w >= 0, 1, -1))
    slope = SLOPES[gradient](w, t, k)
    np.testing.assert_allclose(x.grad.numpy(), upstream * scale * slope, rtol=1e-12)
    grad_scale = (upstream * np.sign(w)).sum((1, 2), keepdims=True)
    np.testing.assert_allclose(s.grad.numpy(), grad_scale, rtol=1e-12)


@given(progress=st.floats(0, 1))
def test_schedule_is_that_of_ir_net(progress):
    t, k = ede_schedule(progress)
    np.testing.assert_allclose(np.log10(t), -1 + 2 * progress, atol=1e-12)
    assert k == max(1 / t, 1)


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_progress_is_refused_outside_of_a_training(progress):
    with pytest.raises(ArgumentError, match="progress="):
        ede_schedule(progress)


@given(w=checks.WEIGHTS, scale=checks.SCALES)
def test_properties(w, scale):
    s = torch.tensor(scale, dtype=torch.float32)

    def quantize(x):
        return binary(torch.tensor(x), s).numpy()

    checks.check_on_grid(quantize, w, (-1, 1), scale)
    checks.check_idempotent(quantize, w)
    checks.check_monotone(quantize, w)
    checks.check_odd(quantize, w[w != 0])
    codes, unit = binary_codes(torch.tensor(w), s)
    np.testing.assert_array_equal((codes * unit).numpy(), quantize(w))


def test_zero_is_positive_and_nan_stays():
    w = torch.tensor([0.0, -0.0, float("nan")])
    q = binary(w, torch.tensor(1.0))
    assert q[:2].tolist() == [1, 1]
    assert q[2].isnan()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    w, scale = torch.linspace(-2, 2, 9, dtype=dtype), torch.tensor(0.3)
    codes, unit = binary_codes(w, scale)
    assert binary(w, scale).dtype == dtype
    assert torch.equal((codes * unit).to(dtype), binary(w, scale))


def test_refused():
    with pytest.raises(ArgumentError, match="gradient="):
        binary(torch.ones(1), torch.tensor(1.0), "none")
    with pytest.raises(ArgumentError, match=r"w\.dtype"):
        binary(torch.ones(1, dtype=torch.int32), torch.tensor(1.0))
