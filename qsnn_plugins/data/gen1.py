"""Prophesee's Gen1 automotive detection data set: cars and pedestrians before a driving camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from qsnn_plugins.data.boxes_module import BoxesDataModule, BoxesItem, boxes_target
from qsnn_plugins.data.checks import at_least, one_of
from qsnn_plugins.data.frames import FrameBinning
from qsnn_plugins.data.prophesee import DatFile, read_boxes
from qsnn_plugins.errors import DataError

_SENSOR = (240, 304)
_CLASSES = ("car", "pedestrian")
_HOMEPAGE = "https://www.prophesee.ai/2020/01/24/prophesee-gen1-automotive-detection-dataset"
_PATIENCE = 1_000_000  # µs from the last event to the last annotation, in a whole recording


@dataclass(frozen=True)
class BoxFilter:
    """Which annotations count, by the benchmark's own rule (Perot et al., 2020).

    Args:
        skip: Annotations up to this time are left out, in microseconds.
        diagonal: Least diagonal of a box in pixels of the sensor.
        side: Least width and height of a box.

    Raises:
        ArgumentError: A setting is below 0.

    Example:
        >>> BoxFilter(diagonal=60, side=20)  # for the camera of one megapixel
        BoxFilter(skip=500000, diagonal=60, side=20)
    """

    skip: int = 500_000
    diagonal: int = 30
    side: int = 10

    def __post_init__(self) -> None:
        for argument in ("skip", "diagonal", "side"):
            at_least(argument, getattr(self, argument), 0)

    def __call__(self, boxes: NDArray[np.void], sensor: tuple[int, int]) -> NDArray[np.void]:
        """Return the boxes [M'] that count, clipped to the sensor of (H, W) pixels."""
        boxes = boxes.copy()
        for low, length, size in (("x", "w", sensor[1]), ("y", "h", sensor[0])):
            end = (boxes[low] + boxes[length]).clip(0, size)
            boxes[low] = boxes[low].clip(0, size)
            boxes[length] = end - boxes[low]
        w, h = boxes["w"], boxes["h"]
        large = (w**2 + h**2 >= self.diagonal**2) & (np.minimum(w, h) >= max(self.side, 1e-6))
        return boxes[large & (boxes["t"] > self.skip)]


class Gen1(BoxesDataModule):
    """Gen1 (de Tournemire et al., 2020): 304 x 240 pixels, annotated at up to 4 Hz.

    An item is an annotated time of a recording: frames of the events before it, and its boxes that
    count. Times of which no box counts are left out, as in the benchmark. Files are mapped into
    memory, and no more of them is read than the events of an item.

    Args:
        root: Folder with the published folders `train`, `val` and `test`, and in them
            `<recording>_td.dat` and `<recording>_bbox.npy`.
        time_steps: T, frames an item.
        size: (H, W) of a frame in pixels, or one side of a square; None keeps 240 x 304. Boxes are
            scaled with it.
        window: How much before an annotation is seen: microseconds or events.
        window_by: "time" or "count".
        bin_by: "time" for bins of equal duration, "count" for bins of equally many events.
        binary: True marks the pixels that saw an event with 1; False counts the events, up to 255.
        filter: Which annotations count.
        batch_size: Items a batch.
        num_workers: Processes that load batches.
        seed: Seed of the training order.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: Recordings are missing or broken (when the data are first asked for).

    Example:
        >>> data = Gen1("data/Gen1", time_steps=5, size=(224, 288))  # reads nothing yet
        >>> data.frame_shape, data.class_names
        ((2, 224, 288), ('car', 'pedestrian'))
    """

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
        self.root = Path(root).expanduser().absolute()
        _, channels, height, width = self.binning.shape(_SENSOR)
        super().__init__(
            class_names=_CLASSES,
            frame_shape=(channels, height, width),
            time_steps=time_steps,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
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
        return AnnotatedTimes(annotations, self.binning, self.window, self.window_by, self.filter)


class AnnotatedTimes(Dataset[BoxesItem]):
    """Each annotated time of several recordings, with the events before it.

    Args:
        annotations: `_bbox.npy` files; the events lie beside them.
        binning: How events become frames.
        window: How much before an annotation is seen.
        window_by: "time" (µs) or "count" (events).
        filter: Which annotations count.

    Raises:
        DataError: A file is missing or broken, or no annotation counts.
    """

    def __init__(
        self,
        annotations: list[Path],
        binning: FrameBinning,
        window: int,
        window_by: str,
        filter: BoxFilter,
    ) -> None:
        self.binning, self.window, self.window_by = binning, window, window_by
        self._items: list[tuple[Path, NDArray[np.void]]] = []
        for path in annotations:
            boxes = filter(_checked(read_boxes(path), path), _SENSOR)
            events = path.with_name(path.name.replace("_bbox.npy", "_td.dat"))
            if not events.exists():
                raise DataError(f"{path} has no recording beside it: {events.name} is missing")
            _require_whole(DatFile(events), boxes)
            boxes = boxes[np.argsort(boxes["t"], kind="stable")]
            borders = np.flatnonzero(np.diff(boxes["t"])) + 1
            self._items += [(events, part) for part in np.split(boxes, borders) if len(part)]
        if not self._items:
            raise DataError(
                f"none of the annotations in {annotations[0].parent} counts: {filter} leaves none"
            )

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> BoxesItem:
        path, boxes = self._items[index]
        frames = self._frames(DatFile(path), int(boxes["t"][0]))
        _, _, height, width = frames.shape
        scale = np.array([width / _SENSOR[1], height / _SENSOR[0]] * 2)
        x, y, w, h = (boxes[name].astype(np.float64) for name in "xywh")
        corners = np.stack([x, y, x + w, y + h], axis=1) * scale
        target = boxes_target(corners, boxes["class_id"], index)
        return torch.from_numpy(frames), target

    def name(self, index: int) -> str:
        """Say which recording and time an item is."""
        path, boxes = self._items[index]
        return f"{path.name.removesuffix('_td.dat')} at {boxes['t'][0]} µs"

    def _frames(self, recording: DatFile, time: int) -> NDArray[np.uint8]:
        stop = recording.first_from(time)
        if self.window_by == "count":
            events = recording.between(max(stop - self.window, 0), stop)
            begin = int(events["t"][0]) if len(events) else time
        else:
            begin = time - self.window
            events = recording.between(recording.first_from(begin), stop)
        try:
            return self.binning(events, _SENSOR, span=(begin, time))
        except DataError as error:
            raise DataError(f"{recording.path}: {error}") from error


def _checked(boxes: NDArray[np.void], path: Path) -> NDArray[np.void]:
    foreign = ~np.isin(boxes["class_id"], range(len(_CLASSES)))
    if foreign.any():
        first = int(foreign.argmax())
        allowed = ", ".join(f"{label} ({name})" for label, name in enumerate(_CLASSES))
        raise DataError(
            f"{path}: box {first} has class_id={boxes['class_id'][first]}, and Gen1 has {allowed}"
        )
    return boxes


def _require_whole(recording: DatFile, boxes: NDArray[np.void]) -> None:
    last = int(boxes["t"].max()) if len(boxes) else 0
    if len(boxes) and recording.end < last - _PATIENCE:
        ends = f"at {recording.end} µs" if len(recording) else "without an event"
        raise DataError(
            f"{recording.path} is truncated: it ends {ends}, and is annotated at {last}"
        )
