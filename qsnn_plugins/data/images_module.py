"""Base of the data modules of still images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from qsnn_plugins.data.base import DataOptions
from qsnn_plugins.data.frames_module import FramesDataModule
from qsnn_plugins.data.transformed import TransformedDataset
from qsnn_plugins.errors import DataError

Picture = tuple[Image.Image, int]

_FORMATS = ("JPEG", "PNG")  # PIL knows others by their content, one of which starts a program
_MOST_PIXELS = 50_000_000  # of an image; no data set has as many
_MOST_OBLONG = 200  # longer by shorter side: what is resized to a shorter side grows with it


class ImagesDataModule(FramesDataModule):
    """A training and a test split of still images, with their loaders.

    A batch is images float32 [N, C, H, W], normalised, and labels int64 [N]; `SpikingClassifier`
    repeats each image `time_steps` times. Subclasses return their images in `pictures()`.

    Args:
        augmentation: Transform of the training split, from PIL to a tensor; it may be random.
        preparation: Transform of the test split.
        **options: Those of `BaseDataModule`; an image has no `time_steps`.

    Raises:
        ArgumentError: A count is too small.

    Example:
        >>> from qsnn_plugins.data.image_transforms import small_image_transform
        >>> class Blank(ImagesDataModule):
        ...     def pictures(self):
        ...         images = ImageArray(np.zeros((4, 8, 8), dtype=np.uint8), np.arange(4))
        ...         return images, images
        >>> transform = small_image_transform("none", 8, ([0.5], [0.5]))
        >>> data = Blank(
        ...     num_classes=4, frame_shape=(1, 8, 8), augmentation=transform, preparation=transform
        ... )
        >>> images, labels = next(iter(data.test_dataloader()))
        >>> images.shape, images.dtype, labels.tolist()
        (torch.Size([4, 1, 8, 8]), torch.float32, [0, 1, 2, 3])
    """

    def __init__(
        self,
        *,
        augmentation: Callable[[Any], Tensor],
        preparation: Callable[[Any], Tensor],
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(augmentation=augmentation, **options)
        self.preparation = preparation

    def pictures(self) -> tuple[Dataset[Picture], Dataset[Picture]]:
        """Return the training and the test split: items (PIL image, label)."""
        raise NotImplementedError(f"{type(self).__name__} does not say where its images come from")

    def splits(self) -> tuple[Any, Any]:
        """Return the training split as it is, and the test split prepared."""
        train, test = self.pictures()
        return train, TransformedDataset(test, self.preparation)

    def _missing_file(self, path: Path, dataset: str, error: OSError) -> DataError:
        """Return the error of a file of the archive that is not there."""
        return DataError(
            f"{path} of {dataset} cannot be read ({error.strerror}): unpack {self.archives[0].url} "
            f"there, set another folder with root, {self._download_advice()}, or run on embedded "
            "images with -c recipes/overlays/embedded_static.yaml"
        )


class ImageArray(Dataset[Picture]):
    """Images in memory.

    Args:
        pixels: uint8 [N, H, W, 3], or [N, H, W] for one channel.
        labels: int64 [N].

    Example:
        >>> image, label = ImageArray(np.zeros((2, 4, 4, 3), dtype=np.uint8), np.array([5, 6]))[1]
        >>> image.mode, image.size, label
        ('RGB', (4, 4), 6)
    """

    def __init__(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Picture:
        return Image.fromarray(self.pixels[index]), int(self.labels[index])


class ImageFiles(Dataset[Picture]):
    """Images in files, read in colour when they are asked for.

    Args:
        files: Path and label of each.

    Raises:
        DataError: A file cannot be read as an image (when it is asked for).
    """

    def __init__(self, files: Sequence[tuple[str | Path, int]]) -> None:
        self.paths = [str(path) for path, _ in files]
        self.labels = np.array([label for _, label in files], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Picture:
        path = self.paths[index]
        try:
            with Image.open(path, formats=_FORMATS) as image:
                short, long = sorted(image.size)
                if short * long > _MOST_PIXELS or long > _MOST_OBLONG * short:
                    raise ValueError(f"{image.width} x {image.height} pixels")
                return image.convert("RGB"), int(self.labels[index])
        # what is damaged, or decompresses to a multiple, makes PIL raise errors of many kinds
        except Exception as error:
            raise DataError(f"{path} cannot be read as an image: {error}") from error


def check_table(
    files: Sequence[tuple[str | Path, int]], classes: Sequence[str], table: Path
) -> None:
    """Raise DataError if a table of files and labels lacks a class, or names a file twice.

    Args:
        files: Path and label of each.
        classes: Names of the classes in the order of the labels.
        table: Where the files are named, for the message.

    Example:
        >>> check_table([("1.png", 0), ("2.png", 1)], ("cat", "dog"), Path("images.csv"))
    """
    absent = {*range(len(classes))} - {label for _, label in files}
    if absent:
        raise DataError(
            f"{table} names no image of {len(absent)} of {len(classes)} classes: "
            f"{classes[min(absent)]} is one"
        )
    for path, count in Counter(path for path, _ in files).items():
        if count > 1:
            raise DataError(f"{table} names {path} {count} times")
