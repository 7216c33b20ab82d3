"""EventDigits: scikit-learn's digits as events."""

import sys

import numpy as np
import pytest
import torch

from qsnn_plugins.data import Digits, EventCamera, EventDigits
from qsnn_plugins.data.digits import _record
from qsnn_plugins.data.frames import EVENT_DTYPE
from qsnn_plugins.errors import ArgumentError, DependencyError


@pytest.fixture(scope="module")
def digits():
    data = EventDigits()
    data.setup()
    return data


def test_splits_are_stratified(digits):
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    train, test = np.bincount(digits.train.labels), np.bincount(digits.test.labels)
    assert len(train) == len(test) == digits.num_classes == 10
    assert (np.abs(test - 0.2 * (train + test)) < 1).all()


def test_items_are_binary_frames(digits):
    frames, label = digits.train[5]
    assert frames.shape == (digits.time_steps, *digits.frame_shape) == (6, 2, 24, 24)
    assert 0 <= label <= 9
    assert digits.train.frames.unique().tolist() == [0, 1]


def test_no_frame_is_empty_or_full(digits):
    """Each sample fires in both polarities at every step, and somewhere stays silent."""
    rate = digits.train.frames.float().mean(dim=(3, 4))
    assert rate.min() > 0
    assert rate.max() < 0.5


def test_classes_can_be_told_apart(digits):
    """The nearest mean frame names most of the test samples: labels and frames belong together."""
    train, test = (split.frames.flatten(1).float() for split in (digits.train, digits.test))
    labels = digits.train.labels
    means = np.stack([train.numpy()[labels == digit].mean(0) for digit in range(10)])
    distance = ((test.numpy()[:, None] - means) ** 2).sum(-1)
    accuracy = (distance.argmin(1) == digits.test.labels).mean()
    assert accuracy > 0.85


def test_nothing_but_the_order_depends_on_the_seed(digits):
    _record.cache_clear()
    other = EventDigits(seed=3)
    other.setup()
    assert other.train is not digits.train
    np.testing.assert_array_equal(other.train.frames, digits.train.frames)
    np.testing.assert_array_equal(other.test.labels, digits.test.labels)


def test_settings_arrive():
    data = EventDigits(
        time_steps=3, size=(10, 14), bin_by="count", binary=False, camera=EventCamera(threshold=0.2)
    )
    data.setup()
    frames, _ = data.test[0]
    assert frames.shape == (3, 2, 10, 14)
    assert frames.max() > 1
    counts = frames.sum(dim=(1, 2, 3))
    assert counts.max() - counts.min() <= 1
    assert data.camera == EventCamera(sensor=(10, 14), threshold=0.2)


def test_a_sensor_that_size_would_replace_is_refused():
    with pytest.raises(ArgumentError, match=r"^camera\.sensor=\(48, 48\) .*since size sets it$"):
        EventDigits(camera=EventCamera(sensor=48))
    assert EventDigits(size=48, camera=EventCamera(sensor=48)).frame_shape == (2, 48, 48)
    assert EventDigits(size=48, camera=EventCamera()).frame_shape == (2, 48, 48)


def test_bins_of_time_are_the_cameras(monkeypatch):
    """An only event, in the middle of the recording, is in the middle frame; not in the first."""
    _record.cache_clear()
    event = np.array([(3, 4, 150_000, True)], dtype=EVENT_DTYPE)
    monkeypatch.setattr(EventCamera, "__call__", lambda _, images, white: [event] * len(images))
    data = EventDigits(time_steps=6)
    data.setup()
    _record.cache_clear()
    assert data.train.frames.nonzero()[0].tolist() == [0, 3, 1, 4, 3]


def test_a_missing_scikit_learn_is_one_sentence(monkeypatch):
    _record.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DependencyError, match=r"pip install 'qsnn-plugins\[demo\]'$"):
        EventDigits().setup()


@pytest.mark.parametrize(("argument", "value"), [("time_steps", 0), ("size", -3), ("bin_by", "x")])
def test_bad_settings_are_named(argument, value):
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        EventDigits(**{argument: value})


@pytest.fixture(scope="module", params=[1, 3])
def still(request):
    data = Digits(channels=request.param, batch_size=400)
    data.setup()
    return data


def test_still_digits_are_split_as_their_events(still, digits):
    assert still.train.labels.tolist() == digits.train.labels.tolist()
    assert still.test.labels.tolist() == digits.test.labels.tolist()
    assert (still.num_classes, still.time_steps) == (10, None)


def test_still_digits_are_normalised(still):
    images, _ = next(iter(still.test_dataloader()))
    assert images.shape == (360, *still.frame_shape)
    assert images.shape[2:] == (32, 32)
    assert abs(images.mean()) < 0.05
    assert 0.85 < images.std() < 1.05
    assert (images == images[:, :1]).all()


def test_still_digits_can_be_told_apart(still):
    (images, labels), *_ = still.test_dataloader()
    train = torch.stack([still.train[index][0] for index in range(400)]).flatten(1)
    means = torch.stack([train[still.train.labels[:400] == digit].mean(0) for digit in range(10)])
    nearest = torch.cdist(images.flatten(1), means).argmin(1)
    assert (nearest == labels).float().mean() > 0.85


def test_black_on_white_is_bright_on_dark(still):
    """A corner of the paper is 0, which is the lowest value of all."""
    image, _ = still.test[0]
    corner = -0.305 / 0.376
    assert image[0, 0, 0].item() == pytest.approx(corner, abs=1e-4)
    assert image.min().item() == pytest.approx(corner, abs=1e-4)
    assert image.max().item() == pytest.approx((1 - 0.305) / 0.376, abs=0.1)


@pytest.mark.parametrize(
    ("argument", "value"), [("channels", 2), ("size", 4), ("augment", "x"), ("batch_size", 0)]
)
def test_bad_settings_of_still_digits_are_named(argument, value):
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        Digits(**{argument: value})
