"""The binary files of CIFAR-10 and CIFAR-100: label bytes and pixels, record after record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.download import Archive
from qsnn_plugins.data.image_transforms import Statistics
from qsnn_plugins.errors import DataError

SIDE = 32
PIXELS = 3 * SIDE * SIDE  # bytes: all red, then all green, then all blue


@dataclass(frozen=True)
class Records:
    """Where the images of a binary archive lie, and how.

    Args:
        name: Name of the data set.
        train: Names of the training files.
        test: Name of the test file.
        images: Images a training file, and images of the test file.
        classes: Number of values of each label byte before an image; the last byte counts.
        statistics: Means and standard deviations of the channels, of values in [0, 1].
        archive: Where to get them.
    """

    name: str
    train: tuple[str, ...]
    test: str
    images: tuple[int, int]
    classes: tuple[int, ...]
    statistics: Statistics
    archive: Archive


def read_records(
    path: Path, records: Records, images: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read a binary file of CIFAR: of each image, its label bytes and then its pixels.

    Args:
        path: The file.
        records: What it should hold.
        images: Number of its images.

    Returns:
        Pixels uint8 [N, 32, 32, 3] and labels int64 [N].

    Raises:
        DataError: The file is missing, has another length, or a label that the data set has not.
    """
    try:
        raw = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(
            f"{path} of {records.name} cannot be read ({error.strerror}): unpack "
            f"{records.archive.url} there, give another folder with root, let it be fetched with "
            "download=true, or run on embedded images with class_path: Digits"
        ) from error
    size = len(records.classes) + PIXELS
    if len(raw) != images * size:
        raise DataError(
            f"{path} is truncated or not {records.name}: it ends at byte {len(raw)}, "
            f"and {images} records of {size} bytes end at byte {images * size}"
        )
    rows = raw.reshape(images, size)
    for byte, count in enumerate(records.classes):
        foreign = rows[:, byte] >= count
        if foreign.any():
            first = int(foreign.argmax())
            raise DataError(
                f"{path} is not {records.name}: at byte {first * size + byte}, a label of "
                f"{rows[first, byte]} where 0 to {count - 1} may stand"
            )
    labels = rows[:, len(records.classes) - 1].astype(np.int64)
    planes = rows[:, len(records.classes) :].reshape(images, 3, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels
