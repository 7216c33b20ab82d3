"""CIFAR-10 and CIFAR-100, from the official binary archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qsnn_plugins.data.cifar_records import SIDE, Records, read_records
from qsnn_plugins.data.download import Archive, fetch
from qsnn_plugins.data.image_transforms import small_image_transform
from qsnn_plugins.data.images_module import ImageArray, ImagesDataModule

# The statistics are those of all pixels of the training images.
_CIFAR10 = Records(
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
_CIFAR100 = Records(
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
    """What CIFAR-10 and CIFAR-100 share."""

    records: Records

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
            image_shape=(3, SIDE, SIDE),
            augmentation=small_image_transform(augment, SIDE, statistics),
            preparation=small_image_transform("none", SIDE, statistics),
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
        )
        self.root, self.download = Path(root).expanduser().absolute(), download

    def prepare_data(self) -> None:
        """Download the archive, if that was asked for and the folder is not there."""
        if self.download:
            fetch((self.records.archive,), self.root)

    def pictures(self) -> tuple[ImageArray, ImageArray]:
        """Return the training and the test split, in memory."""
        records, (each, last) = self.records, self.records.images
        parts = [read_records(self.root / name, records, each) for name in records.train]
        pixels, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        test = read_records(self.root / records.test, records, last)
        return ImageArray(pixels, labels), ImageArray(*test)


class CIFAR10(_CIFAR):
    """CIFAR-10 (Krizhevsky, 2009): 50,000 and 10,000 images of ten classes, 32 x 32 pixels.

    Args:
        root: Folder of the binary version: `data_batch_1.bin` to `data_batch_5.bin` and
            `test_batch.bin`.
        augment: Of the training split: "none", "crop_flip", "autoaugment" (crop, flip, AutoAugment
            and Cutout, as Q-SNN trains), "rotate_flip" or "spikformer" (flip, RandAugment and
            random erasing, as Spikformer trains).
        batch_size: Items a batch.
        num_workers: Processes that load batches.
        seed: Seed of the training order and of the augmentation.
        download: True downloads the archive where `root` does not exist.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: A file is missing, truncated or foreign (when the data are first asked for).

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

    The labels are the hundred fine ones.

    Args:
        root: Folder of the binary version: `train.bin` and `test.bin`.
        augment: Of the training split: "none", "crop_flip", "autoaugment" (crop, flip, AutoAugment
            and Cutout, as Q-SNN trains), "rotate_flip" or "spikformer" (flip, RandAugment and
            random erasing, as Spikformer trains).
        batch_size: Items a batch.
        num_workers: Processes that load batches.
        seed: Seed of the training order and of the augmentation.
        download: True downloads the archive where `root` does not exist.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: A file is missing, truncated or foreign (when the data are first asked for).

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
