"""Samples that stand for a test split: of all its classes where it is sorted by class."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, TensorDataset

from qsnn_plugins.cli.exporting import SampleBatches
from qsnn_plugins.cli.samples import spaced_batches


class Stream(IterableDataset):
    def __len__(self):
        return 12

    def __iter__(self):
        return iter(range(12))


def items(batches):
    return [torch.as_tensor(batch).tolist() for batch in batches]


def test_they_are_of_every_class_of_a_sorted_split():
    labels = torch.arange(10).repeat_interleave(100)
    found = torch.cat(list(spaced_batches(DataLoader(labels, batch_size=32), 4)))
    assert len(found) == 128
    # sample k is at 999 k / 127, so class c begins with sample 12.71 c: 0, 13, 26, 39, 51, 64 ...
    assert found.bincount().tolist() == [13, 13, 13, 12, 13, 13, 12, 13, 13, 13]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [[0, 3, 6, 9]]),
        (2, [[0, 1, 2, 3], [5, 6, 7, 9]]),
        (9, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]),
    ],
)
def test_they_begin_with_the_first_and_end_with_the_last(count, expected):
    assert items(spaced_batches(DataLoader(range(10), batch_size=4), count)) == expected


def test_batches_are_made_as_the_loader_makes_them():
    loader = DataLoader(
        range(10), batch_size=4, sampler=range(9, -1, -1), collate_fn=sum, drop_last=True
    )
    assert list(spaced_batches(loader, 1)) == [9 + 6 + 3 + 0]
    assert len(list(spaced_batches(loader, 9))) == len(loader) == 2


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(Stream(), batch_size=2),
        DataLoader(range(12), batch_sampler=BatchSampler(range(12), 2, drop_last=False)),
        [[n, n + 1] for n in range(0, 12, 2)],
    ],
    ids=["stream", "batch_sampler", "list"],
)
def test_loaders_that_batch_by_themselves_yield_spaced_batches(loader):
    assert items(spaced_batches(loader, 3)) == [[0, 1], [4, 5], [10, 11]]


def test_an_export_is_verified_on_them():
    labels = torch.arange(3).repeat_interleave(4)
    data = TensorDataset(torch.zeros(12, 5, 2), labels)
    module = SimpleNamespace(test_dataloader=lambda: DataLoader(data, batch_size=4))
    samples = SampleBatches(SimpleNamespace(datamodule=module), None, 1)
    ((frames, found),) = samples
    assert len(samples) == 1
    assert frames.shape == (5, 4, 2)
    assert found.tolist() == [0, 0, 1, 2]  # of the places 0, 3, 7 and 11
