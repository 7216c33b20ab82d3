"""CIFAR-10 and CIFAR-100 from small files that the tests write, and from the real ones."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qsnn_plugins.data import CIFAR10, CIFAR100
from qsnn_plugins.errors import ArgumentError, DataError

# Where the official files lie, if they do: as `lightning fit` finds them by default.
REAL = Path("data/cifar-10-batches-bin").absolute()
IMAGES = 20  # a file, in these tests


def write(path, labels, values):
    """Write records: label bytes [N, L], and planes that are filled with values [N, 3]."""
    labels, values = np.asarray(labels, dtype=np.uint8), np.asarray(values, dtype=np.uint8)
    pixels = values[:, :, None].repeat(1024, axis=2).reshape(len(labels), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.hstack([labels, pixels]).tobytes())


@pytest.fixture
def small(monkeypatch):
    """Let the files hold 20 images each."""
    for kind in (CIFAR10, CIFAR100):
        monkeypatch.setattr(kind, "records", replace(kind.records, images=(IMAGES, IMAGES)))


@pytest.fixture
def ten(tmp_path, small):
    """Return a folder in which red is ten times the number of the file, and green the label."""
    number = np.arange(IMAGES)
    for part, name in enumerate([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]):
        values = np.stack([np.full(IMAGES, 10 * part), number % 10, number], axis=1)
        write(tmp_path / name, (number % 10)[:, None], values)
    return tmp_path


def raw(data, image):
    """Return the bytes that a normalised image was made of."""
    mean, deviation = (np.reshape(part, (3, 1, 1)) for part in data.records.statistics)
    return ((image.numpy() * deviation + mean) * 255).round()


def test_files_planes_and_labels(ten):
    data = CIFAR10(str(ten), batch_size=10)
    data.setup()
    assert (len(data.train), len(data.test)) == (100, 20)
    for split, first in ((data.train, 0), (data.test, 50)):
        for index in range(len(split)):
            image, label = split[index]
            assert (image.shape, image.dtype) == ((3, 32, 32), torch.float32)
            assert label == index % 20 % 10
            red, green, blue = raw(data, image)
            assert (red == first + 10 * (index // 20)).all()
            assert (green == label).all()
            assert (blue == index % 20).all()
    assert data.train.labels.tolist() == list(range(10)) * 10


def test_rows_and_columns(ten):
    """The first 32 bytes of a plane are its upper row."""
    path = ten / "test_batch.bin"
    record = bytearray(path.read_bytes())
    record[1 + 1024 : 1 + 1024 + 32] = range(100, 132)
    path.write_bytes(record)
    data = CIFAR10(str(ten))
    data.setup()
    assert raw(data, data.test[0][0])[1, 0].tolist() == list(range(100, 132))


def test_the_fine_labels_of_a_hundred(tmp_path, small):
    fine = np.arange(IMAGES) * 5
    for name in ("train.bin", "test.bin"):
        write(tmp_path / name, np.stack([fine // 5, fine], axis=1), np.zeros((IMAGES, 3)))
    data = CIFAR100(str(tmp_path))
    data.setup()
    assert (data.num_classes, data.frame_shape) == (100, (3, 32, 32))
    assert data.test.labels.tolist() == fine.tolist()


def test_augmentation_touches_the_training_split_alone(ten):
    plain, augmented = CIFAR10(str(ten)), CIFAR10(str(ten), augment="autoaugment")
    for data in (plain, augmented):
        data.setup()
    assert all(torch.equal(plain.test[i][0], augmented.test[i][0]) for i in range(20))
    changed = [not torch.equal(plain.train[i][0], augmented.train[i][0]) for i in range(20)]
    assert all(changed)  # a cutout at least


@pytest.mark.parametrize("workers", [0, 2])
def test_one_seed_gives_one_augmentation(ten, workers):
    def epochs(**settings):
        loader = CIFAR10(str(ten), augment="autoaugment", batch_size=25, **settings)
        loader = loader.train_dataloader()
        return [torch.cat([images for images, _ in loader]) for _ in range(2)]

    first, second = epochs(seed=1)
    again = epochs(seed=1, num_workers=workers)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, second)


@pytest.mark.parametrize("change", [-1, 3073, -3073])
def test_a_file_of_another_length_is_named_with_its_end(ten, change):
    path = ten / "data_batch_3.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:change] if change < 0 else whole + bytes(change))
    end = IMAGES * 3073
    told = rf"^{re.escape(str(path))} .*ends at byte {end + change}, .*end at byte {end}$"
    with pytest.raises(DataError, match=told):
        CIFAR10(str(ten)).setup()


@pytest.mark.parametrize(("byte", "value", "low"), [(0, 20, 19), (1, 100, 99)])
def test_a_label_that_cannot_be_is_named_with_its_byte(tmp_path, small, byte, value, low):
    labels = np.zeros((IMAGES, 2))
    labels[7, byte] = value
    write(tmp_path / "train.bin", labels, np.zeros((IMAGES, 3)))
    told = (
        rf"train\.bin is not CIFAR-100: at byte {7 * 3074 + byte}, a label of {value} .*to {low} "
    )
    with pytest.raises(DataError, match=told):
        CIFAR100(str(tmp_path)).setup()


def test_missing_files_say_where_and_what_to_do(tmp_path):
    with pytest.raises(DataError) as raised:
        CIFAR10(str(tmp_path / "gone")).setup()
    message = str(raised.value)
    for word in (
        "gone/data_batch_1.bin",
        "cifar-10-binary.tar.gz",
        "download=true",
        "embedded_static",
    ):
        assert word in message


def test_bad_settings_are_named():
    with pytest.raises(ArgumentError, match=r"^augment='mixup' is not allowed: give 'none' or"):
        CIFAR10(augment="mixup")


@pytest.mark.skipif(not REAL.exists(), reason=f"the real CIFAR-10 is not in {REAL}")
def test_the_real_files():
    data = CIFAR10(str(REAL))
    train, test = data.pictures()
    assert np.bincount(train.labels).tolist() == [5_000] * 10
    assert np.bincount(test.labels).tolist() == [1_000] * 10
    # frog, truck, truck, deer, automobile: as every tutorial shows them
    assert train.labels[:5].tolist() == [6, 9, 9, 4, 1]
    mean, deviation = data.records.statistics
    values = train.pixels.reshape(-1, 3)
    np.testing.assert_allclose(values.mean(0, dtype=np.float64) / 255, mean, atol=5e-5)
    np.testing.assert_allclose(values.std(0, dtype=np.float64) / 255, deviation, atol=6e-5)
