"""N-Cars: cars and background of city streets, recorded from a driving car."""

from __future__ import annotations

from functools import partial

from qsnn_plugins.data.frame_cache import EventReader
from qsnn_plugins.data.frames import FrameBinning
from qsnn_plugins.data.prophesee import read_dat
from qsnn_plugins.data.recordings import (
    EventDataset,
    RecordingsDataModule,
    Splits,
    shipped_split,
)

_SENSOR = (100, 120)  # the largest of the cut-outs, whose upper left corners lie at (0, 0)
_CLASSES = ("background", "cars")

_NCARS = EventDataset(
    reader=EventReader("N-Cars", _SENSOR, partial(read_dat, sensor=_SENSOR), version=2),
    classes=_CLASSES,
    layout="as n-cars_train/<class>/*.dat and n-cars_test/<class>/*.dat, the classes being cars "
    "and background",
    homepage="https://www.prophesee.ai/2018/03/13/dataset-n-cars/",
)


class NCars(RecordingsDataModule):
    """N-Cars (Sironi et al., 2018): 24,029 recordings of 100 ms, of cars and of background.

    Each recording is a region of the sensor with its own size, up to 100 x 120 pixels; frames show
    100 x 120 pixels. The split is that of the data set: 15,422 and 8,607.

    Arguments that are not explained here are those of `RecordingsDataModule`.

    Args:
        root: Folder with `n-cars_train/<class>/*.dat` and `n-cars_test/<class>/*.dat`, the classes
            being `background` (0) and `cars` (1).
        download: Must be False, since downloading requires a form.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: Recordings are missing or broken (when the data are first used).

    Example:
        >>> data = NCars("data/NCars", time_steps=8)  # reads nothing yet
        >>> data.frame_shape, data.num_classes, data.time_steps
        ((2, 48, 48), 2, 8)
    """

    def __init__(
        self,
        root: str = "data/NCars",
        time_steps: int = 10,
        size: int | tuple[int, int] = 48,
        bin_by: str = "time",
        binary: bool = True,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | None = None,
        allow_broken: bool = False,
        augment: str = "none",
        download: bool = False,
    ) -> None:
        super().__init__(
            _NCARS,
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
        """Return the recordings of the two folders."""
        return shipped_split(self.root, ("n-cars_train", "n-cars_test"), _CLASSES, ".dat")
