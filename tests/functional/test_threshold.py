import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import distance, heaviside, keep_positive, per_channel


def window(kind, x):
    """Penalty windows in numpy: each rises from 0 to 1 around the threshold."""
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-x))
    if kind == "arctan":
        return np.arctan(np.pi / 2 * x) / np.pi + 0.5
    x = np.clip(x, -1, 1)
    return np.where(x < 0, (1 + x) ** 2 / 2, 1 - (1 - x) ** 2 / 2)


def through_a_spike(u, threshold, gradient, kind, upstream):
    """Return dL/dV_th and dL/du, with a triangle as the spike's surrogate."""
    leaf = torch.tensor(u, requires_grad=True)
    learned = torch.tensor(threshold, dtype=torch.float64, requires_grad=True)
    spikes = heaviside(distance(leaf, learned, gradient, kind))
    assert np.array_equal(spikes.detach().numpy(), u >= np.asarray(threshold))
    spikes.backward(torch.tensor(upstream))
    return (None if learned.grad is None else learned.grad.numpy()), leaf.grad.numpy()


@pytest.mark.parametrize("kind", ["sigmoid", "triangle", "arctan"])
def test_separate_gradient_is_the_printed_formula(kind):
    """SpQuant-SNN Eq. 25-27: -Σ dL/ds max(0, 1 - |x|) w(x) 1[x >= 0]."""
    rng = np.random.default_rng(0)
    u, upstream = rng.normal(1, 1, (4, 50, 9)), rng.normal(size=(4, 50, 9))
    x = u - 0.8
    triangle = np.maximum(0, 1 - np.abs(x))
    of_threshold, of_u = through_a_spike(u, 0.8, "separate", kind, upstream)
    expected = -(upstream * triangle * window(kind, x) * (x >= 0)).sum()
    assert abs(expected) > 1
    np.testing.assert_allclose(of_threshold, expected, rtol=1e-12)
    np.testing.assert_allclose(of_u, upstream * triangle, rtol=1e-12)


def test_ordinary_gradient_mirrors_that_of_the_membrane():
    rng = np.random.default_rng(1)
    u, upstream = rng.normal(1, 1, 500), rng.normal(size=500)
    of_threshold, of_u = through_a_spike(u, 0.8, "ordinary", "sigmoid", upstream)
    np.testing.assert_allclose(of_threshold, -of_u.sum(), rtol=1e-12)
    assert through_a_spike(u, 0.8, "fixed", "sigmoid", upstream)[0] is None


@pytest.mark.parametrize("gradient", ["ordinary", "separate"])
@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (6, 3, 4, 5)])
def test_each_channel_learns_from_its_own_neurons(gradient, shape):
    rng = np.random.default_rng(2)
    u, upstream = rng.normal(1, 1, shape), rng.normal(size=shape)
    thresholds = np.array([0.5, 1.0, 1.5])
    learned = torch.tensor(thresholds, requires_grad=True)
    x = distance(torch.tensor(u), per_channel(learned, u.ndim), gradient)
    heaviside(x).backward(torch.tensor(upstream))
    for channel, threshold in enumerate(thresholds):
        alone, _ = through_a_spike(
            u[:, channel], threshold, gradient, "sigmoid", upstream[:, channel]
        )
        np.testing.assert_allclose(learned.grad[channel].item(), alone, rtol=1e-12)


def test_positive_is_kept_and_can_come_back():
    learned = torch.tensor([-0.5, 0.0, 0.7], requires_grad=True)
    used = keep_positive(learned)
    assert (used > 0).all()
    assert used[2] == learned[2]
    used.sum().backward()
    assert learned.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: distance(torch.zeros(1), 1.0, "both"), "gradient='both' is not allowed"),
        (lambda: distance(torch.zeros(1), 1.0, "separate", "rectangle"), "window='rectangle'"),
        (lambda: keep_positive(torch.ones(1), 0.0), r"floor=0\.0 is not allowed"),
        (lambda: per_channel(torch.ones(3), 1), "dim=1 is not allowed"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_what_does_not_fire_teaches_no_separate_threshold_whatever_it_is():
    h = torch.tensor([torch.nan, -torch.inf, 0.2, 1.5], requires_grad=True)
    threshold = torch.tensor(1.0, requires_grad=True)
    distance(h, threshold, "separate").backward(torch.ones(4))
    assert threshold.grad == pytest.approx(-1 / (1 + np.exp(-0.5)))
