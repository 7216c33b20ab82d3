"""CIFAR10DVS on tiny recordings that the tests write."""

import numpy as np
import pytest

from qsnn_plugins.data import CIFAR10DVS
from qsnn_plugins.data.cifar10dvs import _CLASSES
from qsnn_plugins.errors import DataError


def write(path, column, row, count=30):
    """Write an AEDAT 2.0 file whose events all lie at one pixel of the upright image, ON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = np.empty((count, 2), dtype=">u4")
    words[:, 0] = (127 - column) << 8 | (127 - row) << 1
    words[:, 1] = 5_000 + np.arange(count) ** 2  # equal counts are not equal times
    path.write_bytes(b"#!AER-DAT2.0\r\n# a test's\r\n" + words.tobytes())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return ten classes of twenty; the pixel is (number, label)."""
    root = tmp_path_factory.mktemp("CIFAR10DVS")
    for label, name in enumerate(_CLASSES):
        for number in range(20):
            write(root / name / f"cifar10_{name}_{number}.aedat", number, label)
    return root


def test_frames_and_labels(root):
    data = CIFAR10DVS(str(root), size=128)
    data.setup()
    assert (len(data.train), len(data.test)) == (180, 20)
    assert np.bincount(data.test.labels).tolist() == [2] * 10
    for split in (data.train, data.test):
        for frames, label in (split[index] for index in range(len(split))):
            assert frames.sum() == 30
            assert frames[:, 1, label].sum() == 30


def test_the_first_nine_tenths_in_order_of_number_train(root):
    data = CIFAR10DVS(str(root), size=128)
    data.setup()
    numbers = [int(data.test[index][0].sum(dim=(0, 1, 2)).argmax()) for index in range(20)]
    assert numbers == [18, 19] * 10


def test_defaults_are_the_papers(root):
    data = CIFAR10DVS(str(root))
    frames, labels = next(iter(data.train_dataloader()))
    assert frames.shape == (32, 10, 2, 48, 48)
    assert frames.flatten(2).sum(2).unique().tolist() == [3]  # ten frames of equally many events
    assert data.num_classes == 10
    rows = frames.sum(dim=(1, 2, 4)).argmax(1)
    assert rows.tolist() == [label * 48 // 128 for label in labels.tolist()]


def test_missing_data_say_where_and_what_to_do(tmp_path):
    with pytest.raises(DataError) as raised:
        CIFAR10DVS(str(tmp_path / "gone")).prepare_data()
    message = str(raised.value)
    assert str(tmp_path / "gone") in message
    assert "figshare.com" in message
    assert "-c recipes/overlays/embedded.yaml" in message
