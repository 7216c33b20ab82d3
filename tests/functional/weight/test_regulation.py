"""Q-SNN Eq. 14 against numpy in float64."""

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import regulate

W = np.random.default_rng(0).normal(0.2, 0.05, size=(6, 4, 3, 3))


@pytest.mark.parametrize(("per", "axes"), [("layer", (0, 1, 2, 3)), ("channel", (1, 2, 3))])
@pytest.mark.parametrize("correction", [0, 1])
def test_forward(per, axes, correction):
    mean = W.mean(axes, keepdims=True)
    expected = (W - mean) / W.std(axes, keepdims=True, ddof=correction)
    actual = regulate(torch.tensor(W), per, correction)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("per", ["layer", "channel"])
def test_gradient_flows_through_the_statistics(per):
    w = torch.tensor(W[:3, :2, :2, :2], requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: regulate(x, per, 1), w)


def test_gradient_of_constant_statistics_is_one_over_the_deviation():
    w = torch.tensor(W, requires_grad=True)
    regulate(w, "layer", 1, detach=True).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), np.full_like(W, 1 / W.std(ddof=1)), rtol=1e-12)


@pytest.mark.parametrize("shape", [(3, 4), (3, 1, 1, 1), (5,)])
@pytest.mark.parametrize("per", ["layer", "channel"])
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_equal_weights_give_zero_and_no_nan(shape, per, value):
    w = torch.full(shape, value, requires_grad=True)
    for correction in (0, 1):
        out = regulate(w, per, correction)
        out.sum().backward()
        assert out.abs().max() == 0
        assert w.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    assert regulate(torch.tensor(W, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("arguments", [{"per": "row"}, {"correction": 2}])
def test_refused(arguments):
    with pytest.raises(ArgumentError, match=f"{next(iter(arguments))}="):
        regulate(torch.ones(2, 2), **arguments)
    with pytest.raises(ArgumentError, match=r"w\.dtype"):
        regulate(torch.ones(2, 2, dtype=torch.int32))
