"""CIFAR-10 and CIFAR-100, from the official binary archives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.download import Archive
from qsnn_plugins.data.image_transforms import Statistics, small_image_transform
from qsnn_plugins.data.images_module import ImageArray, ImagesDataModule
from qsnn_plugins.errors import DataError

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE  # bytes: all red, then all green, then all blue


@dataclass(frozen=True)
class _Records:
    """Where the images of a binary archive lie, and how."""

    name: str
    train: tuple[str, ...]  # names of the files
    test: str
    images: tuple[int, int]  # per training file, and of the test file
    classes: tuple[int, ...]  # values of each label byte before an image; the last byte counts
    statistics: Statistics
    archive: Archive


# The statistics are those of all pixels of the training images.
_CIFAR10 = _Records(
    name="CIFAR-10",
    train=tuple(f"data_batch_{part}.bin" for part in range(1, 6)),
    test="test_batch.bin",
    images=(10_000, 10_000),
    classes=(10,),
    statistics=((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    archive=Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        folder="cifar-10-batches-bin",
    ),
)
_CIFAR100 = _Records(
    name="CIFAR-100",
    train=("train.bin",),
    test="test.bin",
    images=(50_000, 10_000),
    classes=(20, 100),
    statistics=((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    archive=Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
        folder="cifar-100-binary",
    ),
)


class _CIFAR(ImagesDataModule):
    """What CIFAR-10 and CIFAR-100 share.

    Args:
        augment: Of the training split: "none", "crop_flip", "autoaugment" (crop, flip, AutoAugment
            and Cutout, as Q-SNN trains), "rotate_flip" or "spikformer" (flip, RandAugment and
            random erasing, as Spikformer trains).
    """

    records: _Records

    def __init__(
        self,
        root: str,
        augment: str,
        batch_size: int,
        num_workers: int,
        seed: int,
        download: bool,
    ) -> None:
        statistics = self.records.statistics
        super().__init__(
            num_classes=self.records.classes[-1],
            frame_shape=(3, _SIDE, _SIDE),
            augmentation=small_image_transform(augment, _SIDE, statistics),
            preparation=small_image_transform("none", _SIDE, statistics),
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            root=root,
            download=download,
            archives=(self.records.archive,),
        )

    def pictures(self) -> tuple[ImageArray, ImageArray]:
        """Return the training and the test split, in memory."""
        records, (each, last) = self.records, self.records.images
        parts = [self._read(self.root / name, each) for name in records.train]
        pixels, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        test = self._read(self.root / records.test, last)
        return ImageArray(pixels, labels), ImageArray(*test)

    def _read(self, path: Path, images: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        try:
            return _read_records(path, self.records, images)
        except OSError as error:
            raise self._missing_file(path, self.records.name, error) from error


class CIFAR10(_CIFAR):
    """CIFAR-10 (Krizhevsky, 2009): 50,000 and 10,000 images of ten classes, 32 x 32 pixels.

    Its augmentations are "none", "crop_flip", "autoaugment", "rotate_flip" and "spikformer".
    Arguments that are not explained here are those of `BaseDataModule`.

    Args:
        root: Folder of the binary version: `data_batch_1.bin` to `data_batch_5.bin` and
            `test_batch.bin`.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: A file is missing or broken (when the data are first used).

    Example:
        >>> data = CIFAR10("data/cifar-10-batches-bin", augment="crop_flip")  # reads nothing yet
        >>> data.frame_shape, data.num_classes, data.time_steps
        ((3, 32, 32), 10, None)
    """

    records = _CIFAR10

    def __init__(
        self,
        root: str = "data/cifar-10-batches-bin",
        augment: str = "none",
        batch_size: int = 128,
        num_workers: int = 0,
        seed: int = 0,
        download: bool = False,
    ) -> None:
        super().__init__(root, augment, batch_size, num_workers, seed, download)


class CIFAR100(_CIFAR):
    """CIFAR-100 (Krizhevsky, 2009): 50,000 and 10,000 images of 100 classes, 32 x 32 pixels.

    The labels are the hundred fine ones. Its arguments are those of `CIFAR10`.

    Args:
        root: Folder of the binary version: `train.bin` and `test.bin`.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: A file is missing or broken (when the data are first used).

    Example:
        >>> data = CIFAR100("data/cifar-100-binary", batch_size=256)  # reads nothing yet
        >>> data.frame_shape, data.num_classes, data.time_steps
        ((3, 32, 32), 100, None)
    """

    records = _CIFAR100

    def __init__(
        self,
        root: str = "data/cifar-100-binary",
        augment: str = "none",
        batch_size: int = 128,
        num_workers: int = 0,
        seed: int = 0,
        download: bool = False,
    ) -> None:
        super().__init__(root, augment, batch_size, num_workers, seed, download)


def _read_records(
    path: Path, records: _Records, images: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return pixels uint8 [N, 32, 32, 3] and labels int64 [N] of a file of N images."""
    size = len(records.classes) + _PIXELS
    if (end := path.stat().st_size) != images * size:
        raise DataError(
            f"{path} is truncated or not {records.name}: it ends at byte {end}, "
            f"and {images} records of {size} bytes end at byte {images * size}"
        )
    rows = np.fromfile(path, dtype=np.uint8).reshape(images, size)
    for byte, count in enumerate(records.classes):
        unknown = rows[:, byte] >= count
        if unknown.any():
            first = int(unknown.argmax())
            raise DataError(
                f"{path} is not {records.name}: at byte {first * size + byte}, a label of "
                f"{rows[first, byte]} where 0 to {count - 1} may stand"
            )
    labels = rows[:, len(records.classes) - 1].astype(np.int64)
    planes = rows[:, len(records.classes) :].reshape(images, 3, _SIDE, _SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels
