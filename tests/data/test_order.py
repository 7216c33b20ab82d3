"""The order of training, on one process and on several."""

import pickle

import numpy as np
import pytest
from torch.utils.data import DistributedSampler

from qsnn_plugins.data.order import Draw, EpochShuffle


def test_seeds_are_not_shifted_epochs():
    one, two = (EpochShuffle(range(50), seed=seed) for seed in (1, 2))
    two.set_epoch(0)
    one.set_epoch(1)
    assert list(one) != list(two)


def test_a_draw_keeps_its_epoch_on_its_way_to_a_worker():
    draw = pickle.loads(pickle.dumps(Draw(7, epoch=3)))
    assert (draw, draw.epoch) == (7, 3)


def test_draws_tell_the_epoch():
    order = EpochShuffle(range(5), seed=0)
    assert {draw.epoch for draw in order} == {0}
    order.set_epoch(9)
    assert {draw.epoch for draw in order} == {9}


@pytest.mark.parametrize(("items", "replicas"), [(12, 3), (10, 4), (2, 5)])
def test_processes_get_equally_many_and_leave_none_out(items, replicas):
    parts = [list(EpochShuffle(range(items), 1, replicas, rank)) for rank in range(replicas)]
    assert {len(part) for part in parts} == {-(-items // replicas)}
    assert set().union(*parts) == set(range(items))
    counts = np.bincount(np.concatenate(parts))
    assert counts.max() - counts.min() <= 1


def test_lightning_leaves_it_in_place_where_it_distributes():
    """Lightning puts a sampler of its own in the place of any that is no DistributedSampler."""
    assert isinstance(EpochShuffle(range(4), seed=0), DistributedSampler)
