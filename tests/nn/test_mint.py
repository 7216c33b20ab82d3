"""MINT's learned scale."""

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import mint
from qsnn_plugins.nn import Mint

W = torch.tensor(np.random.default_rng(0).normal(0, 0.3, size=(6, 5, 3)), dtype=torch.float32)


def test_gradients_of_weight_and_membrane_are_gathered_and_divided():
    quantizer, membrane = Mint(W, 4), torch.randn(7)
    beta = quantizer.beta_in_use(W)
    (mint(W, beta, 4).sum() + mint(membrane, beta, 4).sum()).backward()
    other = quantizer.beta.detach().clone().requires_grad_()
    (mint(W, other, 4).sum() + mint(membrane, other, 4).sum()).backward()
    torch.testing.assert_close(quantizer.beta.grad, other.grad / np.sqrt(W.numel() * 7))


def test_unshared_form_has_the_largest_magnitude_as_scale():
    quantizer = Mint(W, 2, scale="max")
    bound = np.abs(np.tanh(W.double().numpy())).max()
    assert list(quantizer.parameters()) == []
    np.testing.assert_allclose(quantizer(W).abs().max(), bound, rtol=1e-6)


@pytest.mark.parametrize("arguments", [{"bits": 1}, {"bits": 9}, {"scale": "mean"}])
def test_refused(arguments):
    with pytest.raises(ArgumentError, match=f"{next(iter(arguments))}="):
        Mint(W, **arguments)
