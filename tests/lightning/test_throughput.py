"""Samples, seconds and hours against a clock of our own."""

import re

import pytest

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.lightning import Throughput, throughput
from qsnn_plugins.lightning.throughput import peak_memory

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice


@pytest.fixture
def clock(monkeypatch):
    """Two seconds between any two looks at the clock."""
    times = iter(range(0, 10_000, 2))
    monkeypatch.setattr(throughput, "perf_counter", lambda: float(next(times)))


def test_it_prints_what_it_measured(model, loader, trainer, clock, capsys):
    callback = Throughput(skip=1)
    trainer(max_epochs=1, enable_checkpointing=False, callbacks=[callback]).fit(model, loader)
    # of four batches of eight samples the first is not counted
    assert (callback.samples, callback.seconds) == (24, 6.0)
    printed = capsys.readouterr().out
    assert "throughput: 4.0 samples/s over 24 samples" in printed
    assert "an epoch of 32 samples would take 0.00 hours" in printed
    assert float(re.search(r"peak memory: (\d+\.\d\d) GB", printed)[1]) > 0.05


def test_later_epochs_count_whole_and_without_what_lies_between(model, loader, trainer, clock):
    callback = Throughput(skip=1)
    trainer(max_epochs=2, enable_checkpointing=False, callbacks=[callback]).fit(
        model, loader, loader
    )
    assert (callback.samples, callback.seconds) == (24 + 32, 14.0)


def test_a_training_shorter_than_what_is_skipped_says_so(model, loader, trainer, capsys):
    callback = Throughput(skip=4)
    trainer(max_epochs=1, enable_checkpointing=False, callbacks=[callback]).fit(model, loader)
    assert "the first 4 batches are not counted" in capsys.readouterr().out


def test_peak_memory_is_in_bytes():
    import torch

    before = peak_memory(torch.device("cpu"))
    block = torch.ones(before // 2)  # four bytes each: twice as much as before
    assert peak_memory(torch.device("cpu")) > before + block.numel()


def test_a_wrong_argument_is_named():
    with pytest.raises(ArgumentError, match="skip=-1"):
        Throughput(skip=-1)
