"""Levels, thresholds and first scales; k-means against scikit-learn."""

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import (
    best_scale,
    k_means_thresholds,
    middle_thresholds,
    symmetric_levels,
)


def test_level_sets_of_the_paper():
    assert symmetric_levels(1) == (-1, 1)
    assert symmetric_levels(2) == (-1, 0, 1)
    assert symmetric_levels(4) == tuple(range(-7, 8))
    assert symmetric_levels(8) == tuple(range(-127, 128))
    for bits in (0, 3, 16, True):
        with pytest.raises(ArgumentError, match="bits="):
            symmetric_levels(bits)


def test_borders_are_midway():
    assert middle_thresholds((-1, 1)) == (0,)
    assert middle_thresholds((-4, -1, 0, 2)) == (-2.5, -0.5, 1)


def inertia(x, thresholds):
    """Sum of squared distances from the mean of the cluster that the thresholds cut out."""
    place = np.searchsorted(thresholds, x)
    return sum(((x[place == k] - x[place == k].mean()) ** 2).sum() for k in np.unique(place))


@pytest.mark.parametrize("count", [1, 2, 14, 254])
@pytest.mark.parametrize("draw", ["normal", "laplace", "two_humps"])
def test_clusters_are_as_good_as_those_of_scikit_learn(count, draw):
    cluster = pytest.importorskip("sklearn.cluster", reason="scikit-learn is not installed")
    rng = np.random.default_rng(0)
    if draw == "two_humps":
        x = np.concatenate([rng.normal(-2, 0.3, 10000), rng.normal(1, 0.6, 10000)])
    else:
        x = getattr(rng, draw)(size=20000)
    thresholds = k_means_thresholds(torch.tensor(x), count)
    assert len(thresholds) == count
    assert (np.diff(thresholds) > 0).all()
    model = cluster.KMeans(count + 1, n_init=1, random_state=0)
    model.fit(x.reshape(-1, 1))
    assert inertia(x, thresholds) <= 1.06 * model.inertia_
    if count == 1 and draw == "two_humps":
        centres = np.sort(model.cluster_centers_.ravel())
        np.testing.assert_allclose(thresholds, centres.mean(), atol=5e-3)


def test_comparison_with_scikit_learn_can_fail():
    x = np.random.default_rng(0).normal(size=20000)
    good, poor = k_means_thresholds(torch.tensor(x), 14), np.linspace(-1, 1, 14)
    assert inertia(x, poor) > 1.06 * inertia(x, np.array(good))


@pytest.mark.parametrize("w", [torch.zeros(10), torch.tensor([0.5, -0.5] * 5), torch.ones(1)])
def test_fewer_values_than_clusters(w):
    thresholds = k_means_thresholds(w, 14)
    assert len(thresholds) == 14
    assert (np.diff(thresholds) > 0).all()
    np.testing.assert_allclose(thresholds, -np.array(thresholds)[::-1], atol=1e-12)


def test_no_borders_are_refused():
    with pytest.raises(ArgumentError, match="count="):
        k_means_thresholds(torch.ones(3), 0)


@pytest.mark.parametrize(("bits", "share"), [(1, 1.0), (2, 0.4), (4, 0.8), (8, 0.9)])
def test_first_scale_is_close_to_the_best_and_uses_the_levels(bits, share):
    levels = symmetric_levels(bits)
    w = np.random.default_rng(1).normal(0, 0.03, size=4096)

    def error(alpha):
        grid = alpha * np.array(levels)
        return ((np.abs(w[:, None] - grid).min(1)) ** 2).mean()

    alpha = best_scale(torch.tensor(w), levels).item()
    finest = min(error(a) for a in np.abs(w).max() / levels[-1] * np.linspace(0.05, 1, 400))
    assert error(alpha) <= 1.1 * finest
    used = np.abs(w[:, None] - alpha * np.array(levels)).argmin(1)
    assert (np.array(levels)[used] != 0).mean() >= share


def test_first_scale_of_silent_weights_is_above_zero():
    assert best_scale(torch.zeros(5), (-1, 0, 1)) > 0
