"""CIFAR10-DVS: images of CIFAR-10 that move on a screen, recorded by an event camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.frame_cache import EventReader, Recording
from qsnn_plugins.data.frames import FrameBinning
from qsnn_plugins.data.readers import read_aedat4, read_dvs128_aedat2
from qsnn_plugins.data.recordings import (
    EventDataset,
    RecordingsDataModule,
    Splits,
    list_recordings,
)

_SENSOR = (128, 128)
_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


def _read(path: Path) -> NDArray[np.void]:
    if path.suffix == ".aedat4":
        return read_aedat4(path, _SENSOR)
    return read_dvs128_aedat2(path)


def _find(root: Path) -> Splits:
    train: list[Recording] = []
    test: list[Recording] = []
    for recordings in list_recordings(root, _CLASSES, (".aedat", ".aedat4")):
        first = len(recordings) * 9 // 10
        train += recordings[:first]
        test += recordings[first:]
    return train, test


_CIFAR10DVS = EventDataset(
    reader=EventReader("CIFAR10-DVS", _SENSOR, _read),
    classes=_CLASSES,
    find=_find,
    layout="as <class>/cifar10_<class>_<number>.aedat, two or more a class",
    homepage="https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
)


class CIFAR10DVS(RecordingsDataModule):
    """CIFAR10-DVS (Li et al., 2017): 1,000 recordings of each of ten classes, in full.

    The first nine tenths of each class, in the order of the files' numbers, are for training (900),
    the rest for test, as in TET's code; so are the defaults: ten frames of equally many events,
    counted, 48 x 48 pixels.

    Args:
        root: Folder with `<class>/cifar10_<class>_<number>.aedat` (AEDAT 2.0, the official
            distribution), or `.aedat4` (which needs the package aedat).
        time_steps: T, frames a recording.
        size: (H, W) of a frame in pixels, or one side of a square; the sensor has 128 x 128.
        bin_by: "count" for bins of equally many events, "time" for bins of equal duration.
        binary: True marks the pixels that saw an event with 1; False counts the events, up to 255.
        batch_size: Items a batch.
        num_workers: Processes that load batches.
        seed: Seed of the training order.
        cache_dir: Folder of the integrated frames; None is `<root>/.qsnn_cache`.
        allow_broken: False raises at the first broken recording; True leaves broken ones out and
            counts them in one warning a split.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: Recordings are missing or broken (when the data are first asked for).

    Example:
        >>> data = CIFAR10DVS("data/CIFAR10DVS", size=(48, 64))  # reads nothing yet
        >>> data.frame_shape, data.num_classes, data.time_steps
        ((2, 48, 64), 10, 10)
    """

    def __init__(
        self,
        root: str = "data/CIFAR10DVS",
        time_steps: int = 10,
        size: int | tuple[int, int] = 48,
        bin_by: str = "count",
        binary: bool = False,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | None = None,
        allow_broken: bool = False,
    ) -> None:
        super().__init__(
            _CIFAR10DVS,
            root=root,
            binning=FrameBinning(time_steps, size, bin_by, binary),
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            cache_dir=cache_dir,
            allow_broken=allow_broken,
        )
