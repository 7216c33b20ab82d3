"""N-MNIST: handwritten digits recorded by an event camera that makes three saccades."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any

from qsnn_plugins.data.atis import read_atis_bin
from qsnn_plugins.data.class_splits import check_fold, class_folds
from qsnn_plugins.data.download import Archive
from qsnn_plugins.data.frame_augmentation import NeuromorphicAugmentation
from qsnn_plugins.data.frame_cache import EventReader
from qsnn_plugins.data.frames import FrameBinning
from qsnn_plugins.data.recordings import (
    EventDataset,
    RecordingsDataModule,
    Splits,
    list_recordings,
    shipped_split,
)

_SENSOR = (34, 34)
_DIGITS = tuple("0123456789")
_FOLDERS = ("Train", "Test")
_FOLDS = 5
_MENDELEY = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files"

_NMNIST = EventDataset(
    reader=EventReader("N-MNIST", _SENSOR, partial(read_atis_bin, sensor=_SENSOR)),
    classes=_DIGITS,
    layout="as Train/<digit>/<id>.bin and Test/<digit>/<id>.bin",
    homepage="https://www.garrickorchard.com/datasets/n-mnist",
    archives=(
        Archive(
            f"{_MENDELEY}/39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
            md5="20959b8e626244a1b502305a9e6e2031",
            name="Train.zip",
        ),
        Archive(
            f"{_MENDELEY}/05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
            md5="69ca8762b2fe404d9b9bad1103e97832",
            name="Test.zip",
        ),
    ),
    nda=NeuromorphicAugmentation(flip=0),
)


class NMNIST(RecordingsDataModule):
    """N-MNIST (Orchard et al., 2015), any number of its recordings: 60,000 and 10,000 in full.

    Arguments that are not explained here are those of `RecordingsDataModule`.

    Args:
        root: Folder with `Train/<digit>/<id>.bin` and `Test/<digit>/<id>.bin`.
        size: (H, W) of a frame in pixels, or one side of a square; the sensor has 34 x 34.
        fold: Number of the test fold, 0 to 4, of five folds over the recordings of both folders.
            None is the official split.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: Recordings are missing or broken (when the data are first used).

    Example:
        >>> data = NMNIST("data/NMNIST", time_steps=10)  # reads nothing yet
        >>> data.frame_shape, data.num_classes, data.time_steps
        ((2, 34, 34), 10, 10)
    """

    def __init__(
        self,
        root: str = "data/NMNIST",
        time_steps: int = 10,
        size: int | tuple[int, int] = 34,
        bin_by: str = "time",
        binary: bool = True,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | None = None,
        allow_broken: bool = False,
        augment: str = "none",
        download: bool = False,
        fold: int | None = None,
    ) -> None:
        if fold is not None:
            check_fold(fold, _FOLDS)
        self.fold = fold
        super().__init__(
            _NMNIST,
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

    def split_facts(self) -> dict[str, Any]:
        """Return the fold."""
        return {"fold": self.fold}

    def find(self) -> Splits:
        """Return the recordings of the two folders, or of a fold."""
        if self.fold is None:
            return shipped_split(self.root, _FOLDERS, _DIGITS, ".bin")
        shipped = (list_recordings(self.root / folder, _DIGITS, (".bin",)) for folder in _FOLDERS)
        # class by class, those of both folders
        digits = [list(chain(*parts)) for parts in zip(*shipped, strict=True)]
        return class_folds(digits, self.fold, _FOLDS)
