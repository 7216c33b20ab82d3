"""NMNIST on tiny recordings that the tests write, and on real ones where they are at hand."""

import re
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from qsnn_plugins.data import NMNIST
from qsnn_plugins.errors import ArgumentError, DataError

ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "nmnist" / "nmnist_1000_100.tar.xz"


def write(path, digit, count=20):
    """Write a recording whose events all lie at column `digit`, row 33, ON, 1,000 µs apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(count) * 1_000
    path.write_bytes(
        np.stack(
            [np.full(count, digit), np.full(count, 33), 0x80 | t >> 16, t >> 8 & 0xFF, t & 0xFF],
            axis=1,
        )
        .astype(np.uint8)
        .tobytes()
    )


@pytest.fixture
def root(tmp_path):
    for digit in range(10):
        for index in range(3):
            write(tmp_path / "Train" / f"{digit}" / f"{index * 10:05}.bin", digit)
        write(tmp_path / "Test" / f"{digit}" / "00007.bin", digit)
    return tmp_path


def test_frames_and_labels(root):
    data = NMNIST(str(root), time_steps=4, batch_size=8, binary=False)
    frames, labels = next(iter(data.train_dataloader()))
    assert frames.shape == (8, 4, 2, 34, 34)
    assert (len(data.train), len(data.test)) == (30, 10)
    for frame, label in zip(frames, labels, strict=True):
        assert frame[:, 1, 33, label].tolist() == [5, 5, 5, 5]  # 20 events, four bins of time
        assert frame.sum() == 20


def test_settings_arrive(root):
    data = NMNIST(str(root), time_steps=3, size=(17, 10), bin_by="count", binary=True)
    frames, label = data.test_dataloader().dataset[9]
    assert (label, data.frame_shape) == (9, (2, 17, 10))
    assert frames.shape == (3, 2, 17, 10)
    assert frames.sum() == 3
    assert frames[:, 1, 16, 9 * 10 // 34].all()


def test_a_class_that_is_broken_throughout_is_named(root):
    """A run would train on the other classes without a word."""
    broken = list((root / "Train" / "3").iterdir())
    for path in broken:
        path.write_bytes(b"")
    said = r"^1 of 10 classes of N-MNIST have no training recording that can be read in .*: 3$"
    for _ in range(2):  # the second time from the cache
        with pytest.raises(DataError, match=said):
            NMNIST(str(root), allow_broken=True).prepare_data()
    write(broken[0], digit=3)
    data = NMNIST(str(root), allow_broken=True)
    with pytest.warns(UserWarning, match="2 of 30 training recordings"):
        data.setup()
    assert np.bincount(data.train.labels).tolist() == [3, 3, 3, 1, 3, 3, 3, 3, 3, 3]


def test_a_fold_tests_on_a_fifth_of_both_folders(root):
    tests = []
    for fold in range(5):
        train, test = NMNIST(str(root), fold=fold).find()
        assert len(train + test) == 40
        tests += test
    assert len({test.path for test in tests}) == len(tests) == 40
    with pytest.raises(ArgumentError, match=r"^fold=5"):
        NMNIST(str(root), fold=5)


def test_the_cache_lies_where_it_is_told(root, tmp_path):
    NMNIST(str(root)).prepare_data()
    assert len(list((root / ".qsnn_cache").glob("N-MNIST-*.frames"))) == 2
    elsewhere = tmp_path / "elsewhere"
    NMNIST(str(root), cache_dir=str(elsewhere)).prepare_data()
    assert len(list(elsewhere.glob("N-MNIST-*.frames"))) == 2


@pytest.mark.parametrize("missing", ["everything", "Test"])
def test_missing_data_say_where_and_what_to_do(root, missing, monkeypatch):
    monkeypatch.chdir(root.parent)
    if missing == "Test":
        (root / "Test").rename(root / "Elsewhere")
        data, split = NMNIST(root.name), "test"
    else:
        data, split = NMNIST("data/NMNIST"), "training"
    with pytest.raises(DataError) as raised:
        data.prepare_data()
    message = str(raised.value)
    assert f"no {split} recordings" in message
    assert f" in {root if missing == 'Test' else root.parent / 'data/NMNIST'} " in message
    assert "Train/<digit>/<id>.bin" in message
    assert "https://www.garrickorchard.com/datasets/n-mnist" in message
    assert "-c recipes/overlays/embedded.yaml" in message
    assert "\n" not in message


def test_a_truncated_recording_is_named(root):
    path = root / "Train" / "4" / "00010.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))} .*byte 95, .*only 3$"):
        NMNIST(str(root)).prepare_data()


def test_broken_recordings_are_counted_in_one_warning(root):
    for name in ("4/00010.bin", "5/00000.bin"):
        (root / "Train" / name).write_bytes(b"\1\2")
    data = NMNIST(str(root), allow_broken=True)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        data.prepare_data()
        data.setup("fit")
        data.setup("test")
    (warning,) = raised
    assert "N-MNIST: 2 of 30 training recordings" in str(warning.message)
    assert len(data.train) == 28
    assert np.bincount(data.train.labels).tolist() == [3, 3, 3, 3, 2, 2, 3, 3, 3, 3]


def test_whole_recordings_warn_of_nothing(root):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NMNIST(str(root), allow_broken=True).setup()


def test_bad_settings_are_named():
    with pytest.raises(ArgumentError, match=r"^time_steps=0 is not allowed"):
        NMNIST(time_steps=0)


@pytest.mark.skipif(not ARCHIVE.exists(), reason=f"real N-MNIST recordings are not at {ARCHIVE}")
def test_real_recordings(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    data = NMNIST(str(tmp_path / "NMNIST"), num_workers=2, batch_size=100)
    frames, labels = (torch.cat(part) for part in zip(*data.test_dataloader(), strict=True))
    assert frames.shape == (100, 10, 2, 34, 34)
    assert len(data.train) == 1_000
    assert labels.bincount().tolist() == [8, 14, 8, 11, 14, 7, 10, 15, 2, 11]
    # The nearest mean frame tells digits apart; chance is one in ten.
    train = torch.stack([item for item, _ in (data.train[i] for i in range(1_000))]).float()
    means = torch.stack([train[data.train.labels == digit].mean(0) for digit in range(10)])
    nearest = torch.cdist(frames.float().flatten(1), means.flatten(1)).argmin(1)
    assert (nearest == labels).float().mean() > 0.7
