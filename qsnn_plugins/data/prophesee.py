"""Prophesee's files: events in `.dat`, of which only what is asked for is read, and boxes."""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.event_file import broken
from qsnn_plugins.data.frames import EVENT_DTYPE
from qsnn_plugins.errors import DataError

_STORED = np.dtype([("t", "<u4"), ("xyp", "<u4")])
_EVENT_TYPES = (0x00, 0x0C)  # change-detection events, as older and newer tools number them
_LONGEST_LINE = 4096  # of a header; beyond it, the file is another one

BOX_DTYPE = np.dtype(
    [("t", "<i8"), ("x", "<f4"), ("y", "<f4"), ("w", "<f4"), ("h", "<f4"), ("class_id", "<i8")]
)
"""One box: microseconds, left, top, width and height in pixels, and its class."""

_OLDER_NAMES = {"t": "ts"}


class DatFile:
    r"""A long recording on disk, mapped into memory; `read_dat` reads short ones whole.

    Lines that begin with "% " come first, then two bytes (type and size of an event), then events
    of 8 bytes: 32 bits of microseconds, then 14 bits of column, 14 of row and 4 of polarity, from
    the lowest bit on, little endian. Without a header, events come at once.

    Args:
        path: The file.

    Raises:
        DataError: It cannot be read, is of another format, or ends inside an event.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "drive_td.dat"
        >>> words = np.array([70, 5 | 9 << 14 | 1 << 28], dtype="<u4")
        >>> _ = path.write_bytes(b"% Height 240\n" + bytes([0, 8]) + words.tobytes())
        >>> DatFile(path).between(0, 1).tolist()
        [(5, 9, 70, True)]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            start = _body(path)
            rest = path.stat().st_size - start
            if rest % _STORED.itemsize:
                whole = start + rest // _STORED.itemsize * _STORED.itemsize
                raise broken(path, whole, f"an event of 8 bytes has only {rest % 8}")
            count = rest // _STORED.itemsize
            # an empty file cannot be mapped
            self._events: NDArray[np.void] = (
                np.memmap(path, dtype=_STORED, mode="r", offset=start, shape=(count,))
                if count
                else np.empty(0, dtype=_STORED)
            )
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error

    def __len__(self) -> int:
        return len(self._events)

    def first_from(self, time: int) -> int:
        """Index of the first event at `time` (µs) or later; reads a few dozen events."""
        return bisect_left(range(len(self)), time, key=lambda index: int(self._events[index]["t"]))

    @property
    def end(self) -> int:
        """Time of the last event in microseconds; -1 where there is none."""
        return int(self._events[-1]["t"]) if len(self) else -1

    def between(self, start: int, stop: int) -> NDArray[np.void]:
        """Read events by index, in tonic's fields.

        Raises:
            DataError: They are not in order of time.
        """
        stored = np.asarray(self._events[start:stop])
        t = stored["t"].astype(np.int64)
        backwards = np.flatnonzero(np.diff(t) < 0)
        if len(backwards):
            first = start + int(backwards[0]) + 1
            raise DataError(
                f"{self.path} is out of order: event {first} at {t[first - start]} µs comes after "
                f"one at {t[first - start - 1]} µs"
            )
        events = np.empty(len(stored), dtype=EVENT_DTYPE)
        events["x"], events["y"] = stored["xyp"] & 0x3FFF, stored["xyp"] >> 14 & 0x3FFF
        events["t"], events["p"] = t, stored["xyp"] >> 28 & 1
        return events


def read_boxes(path: Path) -> NDArray[np.void]:
    """Read annotations, in either spelling of their fields: `t` or, as in Gen1, `ts`.

    Args:
        path: A `_bbox.npy` file.

    Returns:
        Structured array with the fields of `BOX_DTYPE`, in the file's order; it may be empty.

    Raises:
        DataError: It cannot be read, lacks a field, or has a coordinate that is not finite.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "drive_bbox.npy"
        >>> fields = [("ts", "<u8"), *((n, "<f4") for n in "xywh"), ("class_id", "u1")]
        >>> np.save(path, np.array([(70, 1, 2, 30, 20, 1)], dtype=fields))
        >>> read_boxes(path).tolist()
        [(70, 1.0, 2.0, 30.0, 20.0, 1)]
    """
    try:
        stored = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as numpy's array: {error}") from error
    names = stored.dtype.names or ()
    boxes = np.empty(stored.shape, dtype=BOX_DTYPE)
    for name in BOX_DTYPE.names or ():
        given = name if name in names else _OLDER_NAMES.get(name, name)
        if given not in names or stored.ndim != 1:
            raise DataError(f"{path} has no list of boxes with a field {name!r}: {stored.dtype}")
        boxes[name] = stored[given]
    for name in "xywh":
        if not np.isfinite(boxes[name]).all():
            first = int(np.flatnonzero(~np.isfinite(boxes[name]))[0])
            raise DataError(f"{path}: box {first} has {name}={boxes[name][first]}")
    return boxes


def _body(path: Path) -> int:
    """Return the byte at which the events begin."""
    with path.open("rb") as file:
        start, headed = 0, False
        while (line := file.readline(_LONGEST_LINE)).startswith(b"% "):
            if not line.endswith(b"\n"):
                raise broken(path, start, "a line of the header does not end")
            start, headed = file.tell(), True
        if not headed:
            return 0
        file.seek(start)
        kind = file.read(2)
        if len(kind) < 2:
            raise broken(path, start, "the type and the size of the events are not there")
        if kind[0] not in _EVENT_TYPES or kind[1] != _STORED.itemsize:
            what = f"events of type {kind[0]} and {kind[1]} bytes, not of type 0 or 12 and 8 bytes"
            raise broken(path, start, what)
        return start + 2
