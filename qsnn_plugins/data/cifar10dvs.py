"""CIFAR10-DVS: images of CIFAR-10 that move on a screen, recorded by an event camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.aedat import read_aedat4, read_dvs128_aedat2
from qsnn_plugins.data.class_splits import check_split, split_classes
from qsnn_plugins.data.download import Archive
from qsnn_plugins.data.frame_cache import EventReader
from qsnn_plugins.data.frames import FrameBinning
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
_FILES = (  # number and MD5 of each class's archive at figshare
    ("airplane", "7712788", "0afd5c4bf9ae06af762a77b180354fdd"),
    ("automobile", "7712791", "8438dfeba3bc970c94962d995b1b9bdd"),
    ("bird", "7712794", "a9c207c91c55b9dc2002dc21c684d785"),
    ("cat", "7712812", "52c63c677c2b15fa5146a8daf4d56687"),
    ("deer", "7712815", "b6bf21f6c04d21ba4e23fc3e36c8a4a3"),
    ("dog", "7712818", "f379ebdf6703d16e0a690782e62639c3"),
    ("frog", "7712842", "cad6ed91214b1c7388a5f6ee56d08803"),
    ("horse", "7712851", "e7cbbf77bec584ffbf913f00e682782a"),
    ("ship", "7712836", "41c7bd7d6b251be82557c6cce9a7d5c9"),
    ("truck", "7712839", "89f3922fd147d9aeff89e76a2b0b70a7"),
)


def _read(path: Path) -> NDArray[np.void]:
    if path.suffix == ".aedat4":
        return read_aedat4(path, _SENSOR)
    return read_dvs128_aedat2(path)


_CIFAR10DVS = EventDataset(
    reader=EventReader("CIFAR10-DVS", _SENSOR, _read),
    classes=_CLASSES,
    layout="as <class>/cifar10_<class>_<number>.aedat, two or more per class",
    homepage="https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
    archives=tuple(
        Archive(f"https://ndownloader.figshare.com/files/{number}", md5=md5, name=f"{name}.zip")
        for name, number, md5 in _FILES
    ),
)


class CIFAR10DVS(RecordingsDataModule):
    """CIFAR10-DVS (Li et al., 2017): 1,000 recordings of each of ten classes, in full.

    By default, the first nine tenths of each class in the order of the file numbers (900) are for
    training and the others for test, as in TET's code. The other defaults are also TET's: ten
    frames with the same number of events, counted, 48 x 48 pixels. Shymyrbay et al.
    split 80:20 at random: `test_fraction=0.2, split="random"`.

    Arguments that are not explained here are those of `RecordingsDataModule`.

    Args:
        root: Folder with `<class>/cifar10_<class>_<number>.aedat` (AEDAT 2.0, the official
            distribution), or `.aedat4` (which needs the package aedat).
        size: (H, W) of a frame in pixels, or one side of a square; the sensor has 128 x 128.
        test_fraction: Share of each class in the test split.
        split: "ordered" uses the last recordings of each class for test, "random" draws them with a
            fixed seed.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: Recordings are missing or broken (when the data are first used).

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
        augment: str = "none",
        download: bool = False,
        test_fraction: float = 0.1,
        split: str = "ordered",
    ) -> None:
        check_split(test_fraction, split)
        super().__init__(
            _CIFAR10DVS,
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
        self.test_fraction, self.test_by = test_fraction, split

    def split_facts(self) -> dict[str, Any]:
        """Return how the recordings are split."""
        return {"test_fraction": self.test_fraction, "split": self.test_by}

    def find(self) -> Splits:
        """Return the recordings of each class, split."""
        classes = list_recordings(self.root, _CLASSES, (".aedat", ".aedat4"))
        return split_classes(classes, self.test_fraction, self.test_by)
