"""Silent region and negative membranes against the printed equations, neuron by neuron."""

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import negative_firing, silent_region


def random_steps(seed, steps=5, shape=(3, 2, 4, 4)):
    generator = np.random.default_rng(seed)
    membranes = 2 * generator.normal(size=(steps, *shape))
    spikes = generator.integers(0, 4, size=(steps, *shape)) * (generator.random(shape) < 0.3)
    return membranes, spikes


@pytest.mark.parametrize("bound", [-5.0, -1.0, 0.5])
def test_the_silent_region_is_that_of_the_equations(bound):
    membranes, spikes = random_steps(0)
    below = later = firings = 0
    for place in np.ndindex(membranes.shape[1:]):
        if membranes[(0, *place)] < bound:
            fired = [spikes[(t, *place)] != 0 for t in range(1, len(spikes))]
            below += 1
            later += any(fired)
            firings += sum(fired) / (len(spikes) - 1)
    count = membranes[0].size
    (found,) = silent_region(torch.tensor(membranes), torch.tensor(spikes), [bound]).tolist()
    assert found == pytest.approx([below / count, later / count, firings / count], abs=1e-12)


def test_a_first_spike_is_none_of_the_later_ones():
    membranes = torch.full((3, 1, 2), -2.0)
    spikes = torch.tensor([[[1, 1]], [[0, 0]], [[0, 1]]])
    assert silent_region(membranes, spikes, [-1.0]).tolist() == [[1.0, 0.5, 0.25]]


def test_a_membrane_on_the_bound_is_not_below_it():
    membranes = torch.full((2, 1, 1), -1.0)
    assert silent_region(membranes, torch.ones(2, 1, 1), [-1.0, -0.5])[:, 0].tolist() == [0, 1]


def test_negative_firing_looks_one_step_ahead():
    stored, spikes = random_steps(1)
    negative = [(t, *place) for t in range(5) for place in np.ndindex(stored.shape[1:])]
    negative = [place for place in negative if stored[place] < 0]
    followed = [place for place in negative if place[0] < 4]
    fired = [place for place in followed if spikes[(place[0] + 1, *place[1:])] != 0]
    count = stored[0].size
    found = negative_firing(torch.tensor(stored), torch.tensor(spikes)).tolist()
    wanted = [len(negative) / count / 5, len(followed) / count / 4, len(fired) / count / 4]
    assert found == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("measure", [negative_firing, lambda q, s: silent_region(q, s, [-1.0])])
@pytest.mark.parametrize(
    ("membranes", "spikes", "told"),
    [
        (torch.zeros(1, 2), torch.zeros(1, 2), "membranes.shape"),
        (torch.zeros(3), torch.zeros(3), "membranes.shape"),
        (torch.zeros(3, 2), torch.zeros(2, 2), "spikes.shape"),
    ],
)
def test_what_cannot_be_counted_is_refused(measure, membranes, spikes, told):
    with pytest.raises(ArgumentError, match=told):
        measure(membranes, spikes)
