"""Handwritten digits, as still images or recorded by a simulated event camera."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.checks import at_least, height_width
from qsnn_plugins.data.event_camera import EventCamera, camera_of_size
from qsnn_plugins.data.frames import POLARITIES, FrameBinning
from qsnn_plugins.data.frames_module import FramesDataModule, FramesDataset
from qsnn_plugins.data.image_transforms import small_image_transform
from qsnn_plugins.data.images_module import ImageArray, ImagesDataModule
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.extras import import_extra
from qsnn_plugins.progress import phase
from qsnn_plugins.spec.checks import as_integer

_WHITE = 16  # scikit-learn's digits count the dark pixels of 4 x 4 blocks: 0 to 16
_MEAN, _DEVIATION = 0.305, 0.376  # of all pixels of the training images, of values in [0, 1]
_BORDER = 1  # pixels of blank paper put around the 8 x 8 image, so that strokes can move


class EventDigits(FramesDataModule):
    """The 1,797 handwritten digits of scikit-learn, recorded by an `EventCamera`.

    The images (8 x 8 pixels, 17 grey levels; Alpaydin and Kaynak, 1998) get a border of one pixel,
    are resized bicubically to the sensor and recorded during three saccades. The split is always
    the same, 80 : 20 in each class: 1,437 for training, 360 for test. Samples of one writer may be
    in both splits.

    Arguments that are not explained here are those of `BaseDataModule`.

    Args:
        time_steps: T, frames per recording; bins of equal time over the whole recording.
        size: (H, W) of sensor and frames in pixels, or one side of a square.
        bin_by: "time" for bins of equal duration, "count" for bins of equally many events.
        binary: True sets pixels with events to 1; False counts the events.
        seed: Seed of the training order; neither the split nor the events depend on it.
        camera: The camera; `size` sets its sensor.

    Raises:
        ArgumentError: A setting is out of its range.
        DependencyError: scikit-learn is not installed (when the data are first used).

    Example:
        >>> data = EventDigits(time_steps=6, batch_size=16)
        >>> frames, labels = next(iter(data.train_dataloader()))
        >>> frames.shape, data.frame_shape, data.num_classes
        (torch.Size([16, 6, 2, 24, 24]), (2, 24, 24), 10)
    """

    def __init__(
        self,
        time_steps: int = 6,
        size: int | tuple[int, int] = 24,
        bin_by: str = "time",
        binary: bool = True,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        camera: EventCamera | None = None,
    ) -> None:
        sensor = height_width("size", size)
        self.camera = camera_of_size(camera, sensor)
        self.binning = FrameBinning(time_steps, bin_by=bin_by, binary=binary)
        super().__init__(
            num_classes=10,
            frame_shape=(POLARITIES, *sensor),
            time_steps=time_steps,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
        )

    def splits(self) -> tuple[FramesDataset, FramesDataset]:
        """Return the training and the test split, in memory."""
        return _record(self.camera, self.binning)


class Digits(ImagesDataModule):
    """The 1,797 handwritten digits of scikit-learn, as still images.

    They can replace any data set of still images: the images (8 x 8 pixels, 17 grey levels) are
    resized bilinearly, and repeated for three channels. The split is that of `EventDigits`.

    Arguments that are not explained here are those of `BaseDataModule`.

    Args:
        channels: C, 1 or 3.
        size: Side of the images in pixels.
        augment: Of the training split: "none", "crop_flip", "autoaugment", "rotate_flip" or
            "spikformer"; flips are not useful for digits, but are available since recipes may use
            them.
        seed: Seed of the training order and of the augmentation; the split does not depend on it.

    Raises:
        ArgumentError: A setting is out of its range.
        DependencyError: scikit-learn is not installed (when the data are first used).

    Example:
        >>> data = Digits(channels=3, batch_size=16)
        >>> images, labels = next(iter(data.train_dataloader()))
        >>> images.shape, images.dtype, data.frame_shape, data.num_classes
        (torch.Size([16, 3, 32, 32]), torch.float32, (3, 32, 32), 10)
    """

    def __init__(
        self,
        channels: int = 3,
        size: int = 32,
        augment: str = "none",
        batch_size: int = 128,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        if as_integer(channels) not in (1, 3):
            raise ArgumentError("channels", channels, "1 or 3")
        channels, size = int(channels), at_least("size", size, 8)
        statistics = (_MEAN,) * channels, (_DEVIATION,) * channels
        super().__init__(
            num_classes=10,
            frame_shape=(channels, size, size),
            augmentation=small_image_transform(augment, size, statistics),
            preparation=small_image_transform("none", size, statistics),
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
        )

    def pictures(self) -> tuple[ImageArray, ImageArray]:
        """Return the training and the test split, in memory."""
        images, labels, train, test = _load()
        grey = (images * (255 / _WHITE)).round().astype(np.uint8)
        if self.frame_shape[0] == 3:
            grey = grey[..., None].repeat(3, axis=-1)
        return ImageArray(grey[train], labels[train]), ImageArray(grey[test], labels[test])


@lru_cache(maxsize=2)
def _record(camera: EventCamera, binning: FrameBinning) -> tuple[FramesDataset, FramesDataset]:
    """Return both splits; kept, since a second data module often asks for the same."""
    images, labels, train, test = _load()
    images = np.pad(images, ((0, 0), (_BORDER, _BORDER), (_BORDER, _BORDER)))
    with phase("recording the digits with a simulated event camera"):
        recordings = camera(images, white=_WHITE)
        frames = np.stack([binning(e, camera.shape, span=camera.span) for e in recordings])
    return FramesDataset(frames[train], labels[train]), FramesDataset(frames[test], labels[test])


def _load() -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return images [N, 8, 8], labels, and the indices of the training and of the test split."""
    purpose = "a data module of the digits that come with scikit-learn"
    datasets = import_extra("sklearn.datasets", "demo", purpose)
    selection = import_extra("sklearn.model_selection", "demo", purpose)
    images, labels = datasets.load_digits(return_X_y=True)
    train, test = selection.train_test_split(
        np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0
    )
    return images.reshape(-1, 8, 8), labels, train, test
