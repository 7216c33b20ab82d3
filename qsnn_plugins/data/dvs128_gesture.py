"""DVS128 Gesture: hand and arm gestures, recorded by an event camera."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.aedat import read_aedat3
from qsnn_plugins.data.frame_augmentation import NeuromorphicAugmentation
from qsnn_plugins.data.frame_cache import CachedFrames, EventReader, Recording
from qsnn_plugins.data.frames import FrameBinning
from qsnn_plugins.data.recordings import EventDataset, RecordingsDataModule, Splits
from qsnn_plugins.errors import DataError, QSNNWarning

_SENSOR = (128, 128)
_LISTS = ("trials_to_train.txt", "trials_to_test.txt")
_CLASSES = (
    *("hand clapping", "right hand wave", "left hand wave", "right arm clockwise"),
    *("right arm counter-clockwise", "left arm clockwise", "left arm counter-clockwise"),
    *("arm roll", "air drums", "air guitar", "other gestures"),
)


# A file holds a dozen gestures in a row; it is parsed once for all of them.
@lru_cache(maxsize=1)
def _read(path: Path) -> NDArray[np.void]:
    return read_aedat3(path, _SENSOR)


def _listed(path: Path) -> list[Path]:
    """Return the files that a list names; none where there is no list."""
    try:
        return [path.parent / name for name in path.read_text(encoding="utf-8").split()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a list of files: {error}") from error


def _require_once(files: Iterable[Path]) -> None:
    """Raise DataError for a file that is listed twice: it would count twice, or test as trained."""
    for file, count in Counter(files).items():
        if count > 1:
            lists = " and ".join(_LISTS)
            raise DataError(f"{file} is listed {count} times in {lists}: list each file once")


def _trials(files: Iterable[Path], allow_broken: bool) -> list[Recording]:
    """Return the gestures of several files."""
    gestures = []
    for file in files:
        try:
            gestures += _gestures(file)
        except DataError as error:
            if not allow_broken:
                raise
            warnings.warn(f"{file.name} is left out: {error}", QSNNWarning, stacklevel=2)
    return gestures


def _gestures(path: Path) -> list[Recording]:
    """Return the gestures in a file, whose labels and times its table of labels holds."""
    table = path.with_name(f"{path.stem}_labels.csv")
    try:
        header, *lines = table.read_text(encoding="utf-8").splitlines()
        if any(name.strip().isdecimal() for name in header.split(",")):
            raise ValueError(f"its first line, {header!r}, is no header")
        rows = np.array([line.split(",") for line in lines if line.strip()], dtype=np.int64)
        labels, starts, ends = rows.T
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(
            f"{table} cannot be read as a table of class, startTime_usec and endTime_usec: {error}"
        ) from error
    unknown = (labels < 1) | (labels > len(_CLASSES)) | (starts >= ends)
    if unknown.any():
        row = int(unknown.argmax())
        raise DataError(
            f"{table}: row {row + 1}, {rows[row].tolist()}, is not a gesture: classes are 1 to "
            f"{len(_CLASSES)}, and a gesture ends after its start"
        )
    return [
        Recording(path, int(label) - 1, (int(start), int(end)))
        for label, start, end in zip(labels, starts, ends, strict=True)
    ]


_DVS128_GESTURE = EventDataset(
    reader=EventReader("DVS128-Gesture", _SENSOR, _read),
    classes=_CLASSES,
    layout=f"with {_LISTS[0]}, {_LISTS[1]}, and of each file that they name "
    "<user>_<light>.aedat and <user>_<light>_labels.csv",
    homepage="https://ibm.ent.box.com/s/3hiq58ww1pbbjrinh367ykfdf60xsfm8/folder/50167556794",
    nda=NeuromorphicAugmentation(flip=0),
)


class DVS128Gesture(RecordingsDataModule):
    """DVS128 Gesture (Amir et al., 2017): 11 gestures of 29 persons under three kinds of light.

    The recordings of 23 persons are for training (1,176 gestures) and those of the other six for
    test (288), according to the lists of the data set, as in the papers.

    Arguments that are not explained here are those of `RecordingsDataModule`.

    Args:
        root: Folder of the unpacked archive: `trials_to_train.txt`, `trials_to_test.txt`, and of
            each file that they name the AEDAT 3.1 and its `_labels.csv`.
        time_steps: T, frames per gesture: 16 in Q-SNN and Bit Budget, 10 in Shymyrbay et al.
        size: (H, W) of a frame in pixels, or one side of a square; the sensor has 128 x 128, which
            Shymyrbay et al. keep, and Bit Budget has 48 x 48.
        download: Must be False, since downloading requires consent to terms.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: Recordings are missing or broken (when the data are first used).

    Example:
        >>> data = DVS128Gesture("data/DVS128Gesture", size=128)  # reads nothing yet
        >>> data.frame_shape, data.num_classes, data.time_steps
        ((2, 128, 128), 11, 16)
    """

    def __init__(
        self,
        root: str = "data/DVS128Gesture",
        time_steps: int = 16,
        size: int | tuple[int, int] = 48,
        bin_by: str = "count",
        binary: bool = False,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | None = None,
        allow_broken: bool = False,
        augment: str = "none",
        download: bool = False,
    ) -> None:
        super().__init__(
            _DVS128_GESTURE,
            root=root,
            binning=FrameBinning(time_steps, size, bin_by, binary),
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            cache_dir=cache_dir,
            allow_broken=allow_broken,
            augment=augment,
            download=download,
        )

    def find(self) -> Splits:
        """Return the gestures of the files that the two lists name."""
        train, test = (_listed(self.root / name) for name in _LISTS)
        _require_once([*train, *test])
        return _trials(train, self.allow_broken), _trials(test, self.allow_broken)

    def _load(self) -> tuple[CachedFrames, CachedFrames]:
        try:
            return super()._load()
        finally:
            _read.cache_clear()
