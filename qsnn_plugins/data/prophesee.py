"""Prophesee's files: events in `.dat`, read whole or only as far as needed, and boxes."""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.event_file import (
    CLOCK_PERIOD,
    MOST_LATE,
    Sensor,
    broken,
    impossible,
    in_order,
    odd_end,
    require_inside,
    require_possible,
    require_whole,
)
from qsnn_plugins.data.frames import EVENT_DTYPE
from qsnn_plugins.errors import DataError

_STORED = np.dtype([("t", "<u4"), ("xyp", "<u4")])
_EVENT_TYPES = (0x00, 0x0C)  # change-detection events, as older and newer tools number them
_COMMENTS = (b"% ", b"%\n", b"%\r")  # lines of a header begin so
_HALF = CLOCK_PERIOD // 2
_LONGEST_LINE = 4096  # of a header; beyond it, the file is another one

BOX_DTYPE = np.dtype(
    [("t", "<i8"), ("x", "<f4"), ("y", "<f4"), ("w", "<f4"), ("h", "<f4"), ("class_id", "<i8")]
)
"""One box: microseconds, left, top, width and height in pixels, and its class."""

_OLDER_NAMES = {"t": "ts"}


class DatFile:
    r"""A recording on disk, mapped into memory; `read_dat` reads short ones whole.

    Lines that begin with "% " come first, then two bytes (type and size of an event), then events
    of 8 bytes: 32 bits of microseconds, then 14 bits of column, 14 of row and 4 of polarity, from
    the lowest bit on, little endian. Without a header, events come at once. The clock may wrap once
    in a recording: times go on.

    Args:
        path: The file.
        headless: Whether a header may be missing.

    Raises:
        DataError: It cannot be read, is of another format, ends inside an event, or its first or
            last time is impossible.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "drive_td.dat"
        >>> words = np.array([70, 5 | 9 << 14 | 1 << 28], dtype="<u4")
        >>> _ = path.write_bytes(b"% Height 240\n" + bytes([0, 8]) + words.tobytes())
        >>> DatFile(path).between(0, 1).tolist()
        [(5, 9, 70, True)]
    """

    def __init__(self, path: Path, headless: bool = True) -> None:
        self.path = path
        try:
            self.begin = _body(path, headless)
            rest = path.stat().st_size - self.begin
            require_whole(path, self.begin, rest, _STORED.itemsize)
            count = rest // _STORED.itemsize
            # an empty file cannot be mapped
            self._events: NDArray[np.void] = (
                np.memmap(path, dtype=_STORED, mode="r", offset=self.begin, shape=(count,))
                if count
                else np.empty(0, dtype=_STORED)
            )
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        # where the clock has wrapped, the last events have smaller times than the first; of three,
        # one may be wrong
        clock = self._events["t"]
        self._wraps = bool(count) and int(clock[:3].max()) - int(clock[-3:].min()) > _HALF
        self._require_ends()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def end(self) -> int:
        """Time of the last event in microseconds; -1 where there is none."""
        return self._time(len(self) - 1) if len(self) else -1

    def first_from(self, time: int) -> int:
        """Index of the first event at `time` (µs) or later; reads a few dozen events.

        Raises:
            DataError: An impossible time has misled the search.
        """
        index = bisect_left(range(len(self)), time, key=self._time)
        # what misleads a search by bisection lies beside the place where it ends
        start, stop = max(index - 2, 0), min(index + 2, len(self))
        require_possible(self.path, self._times(start, stop), start)
        return index

    def window(self, begin: int, end: int) -> NDArray[np.void]:
        """Read the events from `begin` on and before `end` (µs), late ones included.

        Raises:
            DataError: One has an impossible time.
        """
        start, stop = self.first_from(begin - MOST_LATE), self.first_from(end + MOST_LATE)
        events = self.between(start, stop)
        return events[(events["t"] >= begin) & (events["t"] < end)]

    def last(self, count: int, end: int) -> NDArray[np.void]:
        """Read the last `count` events before `end` (µs), or as many as there are.

        Raises:
            DataError: One has an impossible time.
        """
        start, stop = self.first_from(end - MOST_LATE), self.first_from(end + MOST_LATE)
        start = max(start - count, 0)
        if start > 0:
            # late ones among these leave room for later ones before them
            start = self.first_from(self._time(start) - 2 * MOST_LATE)
        events = self.between(start, stop)
        return events[events["t"] < end][-count:]

    def between(self, start: int, stop: int) -> NDArray[np.void]:
        """Read events by index, in the fields of `EVENT_DTYPE` and in order of time.

        Raises:
            DataError: One has an impossible time.
        """
        events = self.recorded(start, stop)
        events["t"] = self._times(start, stop)
        return in_order(self.path, events, first=start, whole=False)

    def recorded(self, start: int, stop: int) -> NDArray[np.void]:
        """Read events by index as they lie in the file, with times that may wrap."""
        stored = np.asarray(self._events[start:stop])
        events = np.empty(len(stored), dtype=EVENT_DTYPE)
        events["x"], events["y"] = stored["xyp"] & 0x3FFF, stored["xyp"] >> 14 & 0x3FFF
        events["t"], events["p"] = stored["t"], stored["xyp"] >> 28 & 1
        return events

    def _times(self, start: int, stop: int) -> NDArray[np.int64]:
        t = np.asarray(self._events["t"][start:stop]).astype(np.int64)
        return t + CLOCK_PERIOD * (t < _HALF) if self._wraps else t

    def _time(self, index: int) -> int:
        return int(self._times(index, index + 1)[0])

    def _require_ends(self) -> None:
        count = len(self)
        for start in (0, max(count - 3, 0)):
            require_possible(self.path, self._times(start, min(start + 3, count)), start)
        ends = np.concatenate([self._times(0, 2), self._times(max(count - 2, 0), count)])
        if count > 2 and (odd := odd_end(ends)) is not None:
            start = 0 if odd == 0 else count - 2
            raise impossible(self.path, self._times(start, start + 2), odd % 2, start)


def read_dat(path: Path, sensor: Sensor) -> NDArray[np.void]:
    r"""Read all of a .dat file that has a header, such as those of N-Cars.

    Raises:
        DataError: The file is empty, is no such file, ends inside an event, or has an event outside
            the sensor or at an impossible time.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "obj_000001_td.dat"
        >>> event = np.array([70, 1 << 28 | 9 << 14 | 5], dtype="<u4")
        >>> _ = path.write_bytes(b"% Version 2\n" + bytes([0, 8]) + event.tobytes())
        >>> read_dat(path, sensor=(100, 120)).tolist()
        [(5, 9, 70, True)]
    """
    recording = DatFile(path, headless=False)
    if len(recording) == 0:
        raise broken(path, recording.begin, "the file ends without an event")
    events = recording.recorded(0, len(recording))
    offsets = recording.begin + _STORED.itemsize * np.arange(len(events))
    require_inside(path, events["x"], events["y"], sensor, offsets)
    return in_order(path, events, wraps=True)


def read_boxes(path: Path) -> NDArray[np.void]:
    """Read annotations, in either spelling of their fields: `t` or, as in Gen1, `ts`.

    Args:
        path: A `_bbox.npy` file.

    Returns:
        Structured array with the fields of `BOX_DTYPE`, in the file's order; it may be empty.

    Raises:
        DataError: It cannot be read, lacks a field, has a coordinate that is not finite, a time
            below 0, or a time or a class that is not an integer.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "drive_bbox.npy"
        >>> fields = [("ts", "<u8"), *((n, "<f4") for n in "xywh"), ("class_id", "u1")]
        >>> np.save(path, np.array([(70, 1, 2, 30, 20, 1)], dtype=fields))
        >>> read_boxes(path).tolist()
        [(70, 1.0, 2.0, 30.0, 20.0, 1)]
    """
    try:
        # mapped: a shape that the file does not hold reserves no memory
        stored = np.lib.format.open_memmap(path, mode="r")
    # a damaged header makes numpy's parser raise errors of many kinds
    except Exception as error:
        raise DataError(f"{path} cannot be read as numpy's array: {error}") from error
    fields = {}
    for name in BOX_DTYPE.names or ():
        known = (stored.dtype.fields or {}).keys() & {name, _OLDER_NAMES.get(name, name)}
        if not known or stored.ndim != 1 or (field := stored[known.pop()]).dtype.kind not in "iuf":
            raise DataError(f"{path} has no list of boxes with a field {name!r}: {stored.dtype}")
        fields[name] = field
    boxes = np.empty(len(stored), dtype=BOX_DTYPE)
    for name, field in fields.items():
        with np.errstate(all="ignore"):
            boxes[name] = field
            is_float = BOX_DTYPE[name].kind == "f"
            wrong = ~np.isfinite(boxes[name]) if is_float else boxes[name] != field
        if name == "t":
            wrong |= boxes[name] < 0
        if wrong.any():
            first = int(wrong.argmax())
            raise DataError(f"{path}: box {first} has {name}={field[first]}")
    return boxes


def _body(path: Path, headless: bool) -> int:
    """Return the byte at which the events begin."""
    with path.open("rb") as file:
        start = 0
        while (line := file.readline(_LONGEST_LINE)).startswith(_COMMENTS):
            if not line.endswith(b"\n"):
                raise broken(path, start, "a line of the header does not end")
            start = file.tell()
        if start == 0:
            if headless:
                return 0
            missing = f"the header of a .dat file, '% ...', is not there: {line[:12]!r}"
            raise broken(path, 0, missing if line else "the file is empty")
        file.seek(start)
        kind = file.read(2)
        if len(kind) < 2:
            raise broken(path, start, "the type and the size of the events are not there")
        if kind[0] not in _EVENT_TYPES or kind[1] != _STORED.itemsize:
            what = f"events of type {kind[0]} and {kind[1]} bytes, not of type 0 or 12 and 8 bytes"
            raise broken(path, start, what)
        return start + 2
