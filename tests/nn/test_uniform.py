"""The scales of uniform weights: where they start, and how they learn."""

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import uniform
from qsnn_plugins.nn import Uniform

W = torch.tensor(np.random.default_rng(0).normal(0, 0.2, size=(6, 5, 3)), dtype=torch.float32)
X = W.double().numpy()


@pytest.mark.parametrize(("per", "axes"), [("layer", (0, 1, 2)), ("channel", (1, 2))])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_first_scale(per, axes, bits):
    quantizer = Uniform(W, bits, per=per)
    mean = np.abs(X).mean(axes, keepdims=per == "channel")
    largest = np.abs(X).max(axes, keepdims=per == "channel")
    lsq = np.minimum(2 * mean * np.sqrt(2 ** (bits - 1) - 1), largest)
    expected = mean if bits == 1 else lsq
    np.testing.assert_allclose(quantizer.gamma.detach(), expected, rtol=1e-6)
    assert quantizer.scale_count == expected.size


@pytest.mark.parametrize("per", ["layer", "channel"])
def test_gradient_of_the_scale_is_divided_by_the_root_of_weights_and_levels(per):
    quantizer = Uniform(W, 4, per=per)
    upstream = torch.randn_like(W)
    quantizer(W).backward(upstream)
    gamma = quantizer.gamma.detach().clone().requires_grad_()
    uniform(W, gamma, 4).backward(upstream)
    weights = W.numel() if per == "layer" else W[0].numel()
    expected = gamma.grad / np.sqrt(weights * 7)
    torch.testing.assert_close(quantizer.gamma.grad, expected)


def test_max_is_symmetric_where_the_signed_maximum_was_not():
    w = torch.tensor([[-2.0, 0.5, 0.1]], requires_grad=True)
    quantizer = Uniform(w, 8, scale="max")
    q = quantizer(w)
    q.backward(torch.tensor([[1.0, 2.0, 3.0]]))
    np.testing.assert_allclose(q.detach(), np.rint([[-127, 31.75, 6.35]]) * 2 / 127, rtol=1e-6)
    assert w.grad.tolist() == [[1, 2, 3]]
    assert list(quantizer.parameters()) == []
    assert quantizer.codes(w)[0].abs().max() == 127


def test_one_bit_is_sign_times_scale_and_no_weight_is_frozen():
    w = W.clone().requires_grad_()
    quantizer = Uniform(W, 1)
    q = quantizer(w)
    q.sum().backward()
    np.testing.assert_allclose(q.detach(), np.sign(X) * np.abs(X).mean(), rtol=1e-6)
    assert torch.equal(w.grad, torch.ones_like(W))


def test_scale_that_was_pushed_below_zero_comes_back():
    quantizer = Uniform(W, 4)
    with torch.no_grad():
        quantizer.gamma.fill_(-1.0)
    quantizer(W).square().sum().backward()
    assert quantizer(W).isfinite().all()
    assert quantizer.gamma.grad.abs() > 0


@pytest.mark.parametrize("arguments", [{"bits": 0}, {"bits": 9}, {"scale": "mean"}, {"per": "row"}])
def test_refused(arguments):
    with pytest.raises(ArgumentError, match=f"{next(iter(arguments))}="):
        Uniform(W, **arguments)
