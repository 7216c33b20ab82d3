"""NCaltech101 on tiny recordings that the tests write."""

import numpy as np
import pytest

from qsnn_plugins.data import NCaltech101
from qsnn_plugins.data.ncaltech101 import _OBJECTS
from qsnn_plugins.errors import ArgumentError

CLASSES = ("BACKGROUND_Google", *_OBJECTS)


def write(path, column, count=20):
    """Write a recording whose events all lie at one column, row 179, ON, 1,000 µs apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(count) * 1_000
    fields = [np.full(count, column), np.full(count, 179), 0x80 | t >> 16, t >> 8 & 0xFF, t & 0xFF]
    path.write_bytes(np.stack(fields, axis=1).astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return ten recordings of each class, at the column of its label."""
    root = tmp_path_factory.mktemp("NCaltech101")
    for label, name in enumerate(CLASSES):
        for number in range(1, 11):
            write(root / name / f"image_{number:04}.bin", label)
    return root


def test_there_are_a_hundred_and_one_classes_without_faces():
    assert len(set(CLASSES)) == 101
    assert "Faces" not in CLASSES
    assert sorted(_OBJECTS) == list(_OBJECTS)


def test_frames_labels_and_split(root):
    data = NCaltech101(str(root), size=(180, 240), time_steps=4)
    data.setup()
    assert (len(data.train), len(data.test), data.num_classes) == (909, 101, 101)
    assert data.test.labels.tolist() == list(range(101))
    for index in range(0, 909, 100):
        frames, label = data.train[index]
        assert frames.shape == (4, 2, 180, 240)
        assert frames[:, 1, 179, label].sum() == frames.sum() == 4


def test_a_fifth_may_test_and_the_background_may_stay_away(root):
    data = NCaltech101(str(root), test_fraction=0.2, background=False, size=(1, 240))
    data.setup()
    assert (len(data.train), len(data.test), data.num_classes) == (800, 200, 100)
    frames, label = data.train[0]
    assert label == 0
    assert frames[:, 1, 0, 1].any()  # the column of the first object


def test_splits_have_caches_of_their_own(root, tmp_path):
    for fraction in (0.1, 0.2):
        data = NCaltech101(str(root), test_fraction=fraction, cache_dir=str(tmp_path))
        data.setup()
    assert len(list(tmp_path.glob("N-Caltech101-*.frames"))) == 4


def test_its_augmentation_is_the_weaker_one():
    augmentation = NCaltech101(augment="nda").augmentation
    assert (augmentation.roll, augmentation.degrees) == (3, 15)


@pytest.mark.parametrize(
    ("argument", "value"), [("test_fraction", 0), ("split", "x"), ("augment", "crop_flip")]
)
def test_bad_settings_are_named(argument, value):
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        NCaltech101(**{argument: value})
