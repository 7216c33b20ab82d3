"""Scales against numpy, and the gradients that pass through them."""

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import (
    max_magnitude,
    mean_magnitude,
    normalize_gradient,
    round_through,
    round_to_power_of_two,
)

W = np.random.default_rng(0).normal(size=(4, 3, 2, 2))


@pytest.mark.parametrize(
    ("function", "reduce"), [(mean_magnitude, np.mean), (max_magnitude, np.max)]
)
def test_magnitudes(function, reduce):
    w = torch.tensor(W)
    np.testing.assert_allclose(function(w), reduce(np.abs(W)), rtol=1e-14)
    per_channel = reduce(np.abs(W), axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(function(w, "channel"), per_channel, rtol=1e-14)
    with pytest.raises(ArgumentError, match="per="):
        function(w, "row")


def test_gradient_is_divided_and_value_is_not():
    x = torch.tensor([0.1, 0.7], requires_grad=True)
    y = normalize_gradient(x, elements=16, levels=4)
    y.backward(torch.tensor([1.0, -2.0]))
    assert torch.equal(x, y)
    assert x.grad.tolist() == [0.125, -0.25]


def test_rounding_passes_its_gradient():
    x = torch.tensor([0.5, 1.5, 2.4], requires_grad=True)
    y = round_through(x)
    y.backward(torch.tensor([3.0, 4.0, 5.0]))
    assert y.tolist() == [0, 2, 2]
    assert x.grad.tolist() == [3, 4, 5]


def test_every_power_of_two_is_itself():
    powers = 2.0 ** torch.arange(-126, 128, dtype=torch.float64)
    assert torch.equal(round_to_power_of_two(powers.float()), powers.float())
    assert round_to_power_of_two(torch.tensor(0.0)) == 0


def test_a_power_of_two_stays_near_the_border_to_the_next():
    """From 1, borders at 2^±0.5 count 2^±0.25 later; beyond, it is the nearest as ever."""
    exponents = torch.tensor([-3.0, -1.3, -0.8, -0.7, 0.0, 0.45, 0.7, 0.8, 1.4, 5.6])
    used = round_to_power_of_two(torch.exp2(exponents), torch.ones(10))
    assert used.log2().tolist() == [-3, -1, -1, 0, 0, 0, 0, 1, 1, 6]
    again = round_to_power_of_two(torch.exp2(exponents), used)
    assert torch.equal(again, used)
    assert round_to_power_of_two(torch.tensor(0.0), torch.tensor(1.0)) == 0
