import itertools

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import nearest_level, primitive, stacked_derivative
from qsnn_plugins.functional.surrogate import SURROGATES

LEVELS = [(-1.0, 0.0, 1.0), (-3.0, -2.0, -1.0, 0.0, 1.0), (-0.5, 0.1, 2.0), (0.0, 1.0)]


@pytest.mark.parametrize("smoothness", [0.5, 2.0, 7.0])
@pytest.mark.parametrize("levels", LEVELS, ids=str)
def test_sigmoid_terms_are_as_printed(levels, smoothness):
    """IM-SNN Eq. 9 and 10 in numpy, each term weighted by the height of its step."""
    u = np.random.default_rng(0).uniform(-5, 5, 2000)
    expected = np.zeros_like(u)
    for lower, upper in itertools.pairwise(levels):
        y = 1 / (1 + np.exp(-smoothness * (u - (lower + upper) / 2)))
        expected += (upper - lower) * smoothness * y * (1 - y)
    ours = stacked_derivative(torch.tensor(u), levels, "sigmoid", smoothness)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("kind", SURROGATES)
@pytest.mark.parametrize("levels", LEVELS, ids=str)
def test_backward_is_the_slope_of_the_stacked_primitive(levels, kind):
    rng, smoothness, step = np.random.default_rng(1), 2.0, 1e-6
    u = rng.uniform(-4, 3, 1500)
    middles = [(a + b) / 2 for a, b in itertools.pairwise(levels)]
    kinks = [m + k / smoothness for m in middles for k in (-1, -0.5, 0, 0.5, 1)]
    u = u[np.min(np.abs(u[:, None] - np.array(kinks)), axis=1) > 1e-4]

    def smooth_step(u):
        return sum(
            (b - a) * primitive(torch.tensor(u - (a + b) / 2), kind, smoothness).numpy()
            for a, b in itertools.pairwise(levels)
        )

    difference = (smooth_step(u + step) - smooth_step(u - step)) / (2 * step)
    leaf, upstream = torch.tensor(u, requires_grad=True), rng.normal(size=u.shape)
    q = nearest_level(leaf, levels, "stacked", kind, smoothness)
    q.backward(torch.tensor(upstream))
    assert np.abs(difference).max() > 0.1
    np.testing.assert_allclose(leaf.grad.numpy(), upstream * difference, rtol=1e-5, atol=1e-7)


def test_area_is_the_height_of_all_steps():
    u = torch.linspace(-200, 200, 400_001, dtype=torch.float64)
    for levels in LEVELS:
        area = torch.trapezoid(stacked_derivative(u, levels), u).item()
        assert area == pytest.approx(levels[-1] - levels[0], rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": ()}, r"levels=\(\) is not allowed: give two or more numbers in ascending"),
        ({"levels": (0.0, 0.0)}, "levels="),
        ({"levels": (1.0, float("nan"))}, "levels="),
        ({"surrogate": "step"}, "surrogate='step' is not allowed"),
        ({"smoothness": 0}, "smoothness=0 is not allowed: give a number above 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        stacked_derivative(torch.zeros(1), **arguments)
