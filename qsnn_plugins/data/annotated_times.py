"""Annotated recordings of Prophesee: filtered boxes, and the events before them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from qsnn_plugins.data.boxes import BoxesItem, boxes_target
from qsnn_plugins.data.checks import at_least
from qsnn_plugins.data.frames import FrameBinning
from qsnn_plugins.data.prophesee import DatFile, read_boxes
from qsnn_plugins.errors import DataError

_PATIENCE = 1_000_000  # µs from the last event to the last annotation, in a whole recording


@dataclass(frozen=True)
class BoxFilter:
    """Filter for annotations, with the rule of the benchmark (Perot et al., 2020).

    Args:
        skip: Annotations up to this time are ignored, in microseconds.
        diagonal: Smallest diagonal of a box in pixels of the sensor.
        side: Smallest width and height of a box.

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
            object.__setattr__(self, argument, at_least(argument, getattr(self, argument), 0))

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


class AnnotatedTimes(Dataset[BoxesItem]):
    """Each annotated time of several recordings, with the events before it.

    Raises:
        DataError: A file is missing or broken, or no annotation counts.
    """

    def __init__(
        self,
        annotations: list[Path],  # `_bbox.npy` files; the events lie beside them
        sensor: tuple[int, int],
        class_names: tuple[str, ...],
        binning: FrameBinning,
        window: int,
        window_by: str,  # "time" (µs) or "count" (events)
        filter: BoxFilter,
    ) -> None:
        self.sensor, self.binning = sensor, binning
        self.window, self.window_by = window, window_by
        self._items: list[tuple[Path, NDArray[np.void]]] = []
        for path in annotations:
            boxes = filter(_checked(read_boxes(path), path, class_names), sensor)
            events = path.with_name(path.name.replace("_bbox.npy", "_td.dat"))
            if not events.exists():
                raise DataError(f"{path} has no recording: {events.name} is missing")
            _require_whole(DatFile(events), boxes)
            boxes = boxes[np.argsort(boxes["t"], kind="stable")]
            borders = np.flatnonzero(np.diff(boxes["t"])) + 1
            self._items += [(events, part) for part in np.split(boxes, borders) if len(part)]
        if not self._items:
            raise DataError(f"none of the annotations in {annotations[0].parent} passes {filter}")

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> BoxesItem:
        index = range(len(self))[index]
        path, boxes = self._items[index]
        frames = self._frames(DatFile(path), int(boxes["t"][0]))
        _, _, height, width = frames.shape
        scale = np.array([width / self.sensor[1], height / self.sensor[0]] * 2)
        x, y, w, h = (boxes[name].astype(np.float64) for name in "xywh")
        corners = np.stack([x, y, x + w, y + h], axis=1) * scale
        target = boxes_target(corners, boxes["class_id"], index)
        return torch.from_numpy(frames), target

    def name(self, index: int) -> str:
        """Say which recording and time an item is."""
        path, boxes = self._items[index]
        return f"{path.name.removesuffix('_td.dat')} at {boxes['t'][0]} µs"

    def _frames(self, recording: DatFile, time: int) -> NDArray[np.uint8]:
        if self.window_by == "count":
            events = recording.last(self.window, time)
            begin = int(events["t"][0]) if len(events) else time
        else:
            begin = time - self.window
            events = recording.window(begin, time)
        try:
            return self.binning(events, self.sensor, span=(begin, time))
        except DataError as error:
            raise DataError(f"{recording.path}: {error}") from error


def _checked(boxes: NDArray[np.void], path: Path, class_names: tuple[str, ...]) -> NDArray[np.void]:
    unknown = ~np.isin(boxes["class_id"], range(len(class_names)))
    if unknown.any():
        first = int(unknown.argmax())
        allowed = ", ".join(f"{label} ({name})" for label, name in enumerate(class_names))
        raise DataError(
            f"{path}: box {first} has class_id={boxes['class_id'][first]}, and there are {allowed}"
        )
    return boxes


def _require_whole(recording: DatFile, boxes: NDArray[np.void]) -> None:
    last = int(boxes["t"].max()) if len(boxes) else 0
    if len(boxes) and recording.end < last - _PATIENCE:
        ends = f"at {recording.end} µs" if len(recording) else "without an event"
        raise DataError(
            f"{recording.path} is truncated: it ends {ends}, and is annotated at {last}"
        )
