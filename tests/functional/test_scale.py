"""Scales against numpy, and the gradients that pass through them."""

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import (
    additive_power_of_two,
    binary,
    binary_codes,
    max_magnitude,
    mean_magnitude,
    mint,
    mint_codes,
    normalize_gradient,
    power_of_two,
    power_of_two_codes,
    round_through,
    round_to_power_of_two,
    sigmoid_quantizer,
    sigmoid_quantizer_codes,
    uniform,
    uniform_codes,
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


def test_a_last_power_that_was_averaged_is_rounded():
    last = torch.tensor([0.75, 0.75, 3.1])
    found = round_to_power_of_two(torch.tensor([0.8, 1.1, 0.3]), last)
    assert found.tolist() == [1.0, 1.0, 0.25]


def test_channels_of_one_weight_each_are_their_own():
    w = torch.tensor([1.0, -3.0])
    for magnitude in (mean_magnitude, max_magnitude):
        assert magnitude(w, "channel").tolist() == [1.0, 3.0]
        assert magnitude(w).dim() == 0


NUMBERS = {
    "scale": [uniform, uniform_codes, binary, binary_codes],
    "alpha": [power_of_two, power_of_two_codes, additive_power_of_two],
    "beta": [mint, mint_codes],
}
CALLS = [(name, call) for name, calls in NUMBERS.items() for call in calls]


@pytest.mark.parametrize(("name", "call"), CALLS, ids=[call.__name__ for _, call in CALLS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_scale_may_be_a_number(name, call, dtype):
    w = torch.tensor([0.1, -0.4, 0.7], dtype=dtype)
    wide = torch.promote_types(dtype, torch.float32)
    found, expected = call(w, 0.6), call(w, torch.tensor(0.6, dtype=wide))
    if isinstance(found, torch.Tensor):
        found, expected = (found,), (expected,)
    for mine, other in zip(found, expected, strict=True):
        assert torch.equal(mine, other)
    with pytest.raises(ArgumentError, match=f"{name}=0 is not allowed: give a number above 0"):
        call(w, 0)


def test_the_scales_of_sigmoids_may_be_numbers():
    w, more = torch.tensor([0.1, -0.4, 0.7]), ((-0.5, 0.5), (-1, 0, 1))
    scales = torch.tensor(0.6), torch.tensor(2.0)
    for call in (sigmoid_quantizer, lambda *given: sigmoid_quantizer_codes(*given)[0]):
        assert torch.equal(call(w, 0.6, 2.0, *more), call(w, *scales, *more))
        with pytest.raises(ArgumentError, match="beta=0"):
            call(w, 0.6, 0, *more)
