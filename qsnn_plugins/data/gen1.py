"""Prophesee's Gen1 automotive detection data set: cars and pedestrians, recorded from a car."""

from __future__ import annotations

from qsnn_plugins.data.annotated_times import AnnotatedTimes, BoxFilter
from qsnn_plugins.data.base import BaseDataModule
from qsnn_plugins.data.boxes import collate_boxes
from qsnn_plugins.data.checks import at_least, one_of
from qsnn_plugins.data.frames import FrameBinning
from qsnn_plugins.errors import DataError

_SENSOR = (240, 304)
_CLASSES = ("car", "pedestrian")
_HOMEPAGE = "https://www.prophesee.ai/2020/01/24/prophesee-gen1-automotive-detection-dataset"


class Gen1(BaseDataModule):
    """Gen1 (de Tournemire et al., 2020): 304 x 240 pixels, annotated at up to 4 Hz.

    An item is an annotated time of a recording: frames of the events before it, and its boxes after
    filtering. Times without any remaining box are left out, as in the benchmark. Files are
    memory-mapped, and only the events of an item are read.

    Arguments that are not explained here are those of `BaseDataModule`.

    Args:
        root: Folder with the published folders `train`, `val` and `test`, and in them
            `<recording>_td.dat` and `<recording>_bbox.npy`.
        time_steps: T, frames per item.
        size: (H, W) of a frame in pixels, or one side of a square; None keeps 240 x 304. Boxes are
            scaled with it.
        window: Length of the window before an annotation, in microseconds or events.
        window_by: "time" or "count".
        bin_by: "time" for bins of equal duration, "count" for bins of equally many events.
        binary: True sets pixels with events to 1; False counts the events, up to 255.
        filter: Filter for annotations.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: Recordings are missing or broken (when the data are first used).

    Example:
        >>> data = Gen1("data/Gen1", time_steps=5, size=(224, 288))  # reads nothing yet
        >>> data.frame_shape, data.class_names
        ((2, 224, 288), ('car', 'pedestrian'))
    """

    collate = staticmethod(collate_boxes)

    def __init__(
        self,
        root: str = "data/Gen1",
        time_steps: int = 5,
        size: int | tuple[int, int] | None = None,
        window: int = 250_000,
        window_by: str = "time",
        bin_by: str = "time",
        binary: bool = True,
        filter: BoxFilter | None = None,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        self.binning = FrameBinning(time_steps, size, bin_by, binary)
        self.window = at_least("window", window, 1)
        self.window_by = one_of("window_by", window_by, ("time", "count"))
        self.filter = filter or BoxFilter()
        _, channels, height, width = self.binning.shape(_SENSOR)
        super().__init__(
            num_classes=len(_CLASSES),
            class_names=_CLASSES,
            frame_shape=(channels, height, width),
            time_steps=time_steps,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            root=root,
        )

    def split(self, name: str) -> AnnotatedTimes:
        """Return the split "train", "val" or "test", mapped from its folder."""
        annotations = sorted(
            path for path in (self.root / name).glob("*_bbox.npy") if path.name[0] != "."
        )
        if not annotations:
            raise DataError(
                f"there are no recordings of Gen1 in {self.root / name} (as <name>_td.dat and "
                f"<name>_bbox.npy): get them from {_HOMEPAGE}, give another folder with root, or "
                "run on embedded data with -c recipes/overlays/scenes.yaml"
            )
        return AnnotatedTimes(
            annotations,
            _SENSOR,
            _CLASSES,
            self.binning,
            self.window,
            self.window_by,
            self.filter,
        )
