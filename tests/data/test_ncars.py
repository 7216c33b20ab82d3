"""NCars on tiny recordings that the tests write."""

import numpy as np
import pytest

from qsnn_plugins.data import NCars
from qsnn_plugins.errors import ArgumentError, DataError


def write(path, x, y, count=40):
    path.parent.mkdir(parents=True, exist_ok=True)
    words = np.stack([np.arange(count) * 2_500, np.full(count, 1 << 28 | y << 14 | x)], axis=1)
    path.write_bytes(b"% Version 2\n\0\x08" + words.astype("<u4").tobytes())


@pytest.fixture
def root(tmp_path):
    for folder, count in (("n-cars_train", 3), ("n-cars_test", 2)):
        for label, name in enumerate(("background", "cars")):
            for number in range(count):
                write(tmp_path / folder / name / f"obj_{number:06}_td.dat", 119 * label, 99)
    return tmp_path


def test_frames_and_labels(root):
    data = NCars(str(root), size=(100, 120), time_steps=8, binary=False)
    data.setup()
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    for index in range(6):
        frames, label = data.train[index]
        assert frames[:, 1, 99, 119 * label].tolist() == [5] * 8
        assert frames.sum() == 40


def test_a_broken_recording_is_named(root):
    path = root / "n-cars_train" / "cars" / "obj_000001_td.dat"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"obj_000001_td\.dat .*at byte 326, .*only 7$"):
        NCars(str(root)).prepare_data()


@pytest.mark.parametrize("event", [0, 20, 39])
def test_one_absurd_time_can_be_left_out(root, event):
    """All other events would fall into one bin."""
    path = root / "n-cars_train" / "cars" / "obj_000001_td.dat"
    raw = bytearray(path.read_bytes())
    raw[len(raw) - 8 * (40 - event) + 3] ^= 1 << 5
    path.write_bytes(raw)
    with pytest.raises(DataError, match=rf"obj_000001_td\.dat has .*: event {event} is at \d{{9}}"):
        NCars(str(root)).prepare_data()
    data = NCars(str(root), allow_broken=True)
    with pytest.warns(UserWarning, match="1 of 6 training recordings"):
        data.setup()
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1]


def test_missing_data_say_where_and_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"n-cars_train/<class>/\*\.dat .*prophesee\.ai"):
        NCars(str(tmp_path)).prepare_data()


def test_a_download_is_refused_with_the_address():
    with pytest.raises(ArgumentError, match=r"^download=True .*prophesee\.ai"):
        NCars(download=True)
