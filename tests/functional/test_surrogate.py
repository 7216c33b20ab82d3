import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import derivative, heaviside, primitive
from qsnn_plugins.functional.surrogate import SURROGATES

KINKS = {  # where the derivative jumps, in units of 1 / sharpness
    "triangle": [],
    "rectangle": [-0.5, 0.5],
    "sigmoid": [],
    "arctan": [],
    "piecewise_leaky_relu": [-1.0, 1.0],
}


def closed_form(kind, x, s):
    """The derivatives as the papers print them, in numpy."""
    if kind == "triangle":
        gamma = 1 / s
        return np.maximum(0, gamma - np.abs(x)) / gamma**2
    if kind == "rectangle":
        return np.where(np.abs(x) < 1 / (2 * s), s, 0)
    if kind == "sigmoid":
        return s * np.exp(-s * x) / (1 + np.exp(-s * x)) ** 2
    if kind == "arctan":
        return (s / 2) / (1 + (np.pi / 2 * s * x) ** 2)
    return np.where(np.abs(x) <= 1 / s, s / 2, 0.01 * s)


@pytest.mark.parametrize("sharpness", [1.0, 2.5, 0.4])
@pytest.mark.parametrize("kind", SURROGATES)
def test_derivative_is_that_of_the_primitive_and_as_printed(kind, sharpness):
    x = np.random.default_rng(0).uniform(-4, 4, 4000)
    x = x[np.all([np.abs(x - kink / sharpness) > 1e-3 for kink in (9.0, *KINKS[kind])], axis=0)]
    step = 1e-5

    def rise(x):
        return primitive(torch.tensor(x), kind, sharpness).numpy()

    difference = (rise(x + step) - rise(x - step)) / (2 * step)
    ours = derivative(torch.tensor(x), kind, sharpness).numpy()
    assert ours.max() > 0.3 * sharpness or kind == "sigmoid"
    np.testing.assert_allclose(ours, closed_form(kind, x, sharpness), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours, difference, rtol=1e-4, atol=1e-4)  # the triangle's kinks

    leaf = torch.tensor(x, requires_grad=True)
    upstream = torch.tensor(np.random.default_rng(1).normal(size=x.shape))
    heaviside(leaf, kind, sharpness).backward(upstream)
    np.testing.assert_allclose(leaf.grad.numpy(), upstream.numpy() * ours, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", ["triangle", "rectangle", "sigmoid", "arctan"])
def test_primitive_rises_from_0_to_1(kind):
    ends = primitive(torch.tensor([-1e9, 0.0, 1e9], dtype=torch.float64), kind)
    torch.testing.assert_close(ends, torch.tensor([0, 0.5, 1], dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", SURROGATES)
def test_dtype_is_kept(kind, dtype):
    x = torch.linspace(-2, 2, 9, dtype=dtype, requires_grad=True)
    spikes = heaviside(x, kind)
    spikes.sum().backward()
    assert primitive(x, kind).dtype == derivative(x, kind).dtype == dtype
    assert spikes.dtype == x.grad.dtype == dtype


@pytest.mark.parametrize("function", [primitive, derivative])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("round", 1.0), "kind='round' is not allowed: give one of triangle"),
        (("triangle", 0.0), "sharpness=0.0 is not allowed: give a number above 0"),
        (("triangle", float("nan")), "sharpness=nan is not allowed"),
    ],
)
def test_bad_arguments_are_named(function, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        function(torch.zeros(1), *arguments)
