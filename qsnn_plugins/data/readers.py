"""Readers of event files: a path in, events in tonic's fields out, or a sentence on what is wrong.

Rows count from the top, columns from the left, time in microseconds; p is True where it became
brighter.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import tonic.io
from expelliarmus import Wizard
from numpy.typing import NDArray

from qsnn_plugins.data.event_file import (
    Sensor,
    beyond,
    broken,
    end_of_comments,
    file_bytes,
    not_empty,
)
from qsnn_plugins.data.frames import EVENT_DTYPE

_ATIS_OVERFLOW_ROW = 240  # an "event" in this row says that the clock wrapped
_DAT_EVENTS = (bytes([0, 8]), bytes([12, 8]))  # type and size of the events in a .dat file


def read_atis_bin(path: Path, sensor: Sensor) -> NDArray[np.void]:
    """Read the 5-byte events of N-MNIST and N-Caltech101.

    Bytes: column, row, then one bit of polarity and 23 bits of time, most significant first.

    Args:
        path: The file.
        sensor: (H, W) in pixels; an event outside it marks a foreign file.

    Raises:
        DataError: The file is empty, ends inside an event, or has an event outside the sensor.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "00001.bin"
        >>> _ = path.write_bytes(bytes([3, 7, 0x80, 0x01, 0x00]))  # x=3, y=7, ON, 256 µs
        >>> read_atis_bin(path, sensor=(34, 34)).tolist()
        [(3, 7, 256, True)]
    """
    raw = file_bytes(path)
    whole = len(raw) // 5 * 5
    if whole != len(raw):
        raise broken(path, whole, f"an event of 5 bytes has only {len(raw) - whole}")
    fields = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 5)
    x, y = fields[:, 0], fields[:, 1]
    foreign = ((y >= sensor[0]) | (x >= sensor[1])) & (y != _ATIS_OVERFLOW_ROW)
    if foreign.any():
        first = int(foreign.argmax())
        raise broken(path, 5 * first, f"an event at x={x[first]}, y={y[first]}: {beyond(sensor)}")
    return not_empty(path, tonic.io.read_mnist_file(io.BytesIO(raw), EVENT_DTYPE, is_stream=True))


def read_dat(path: Path, sensor: Sensor) -> NDArray[np.void]:
    r"""Read a .dat file of Prophesee, such as those of N-Cars, by way of expelliarmus.

    After lines that begin with '%' come a byte of type and one of size, then events of 8 bytes,
    little-endian: a word of time, and a word with column (14 bits), row (14 bits) and polarity.

    Args:
        path: The file.
        sensor: (H, W) in pixels; an event outside it marks a foreign file.

    Raises:
        DataError: The file is empty, is no such file, ends inside an event, or has an event outside
            the sensor.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "obj_000001_td.dat"
        >>> event = np.array([70, 1 << 28 | 9 << 14 | 5], dtype="<u4")
        >>> _ = path.write_bytes(b"% Version 2\n" + bytes([0, 8]) + event.tobytes())
        >>> read_dat(path, sensor=(100, 120)).tolist()
        [(5, 9, 70, True)]
    """
    raw = file_bytes(path)
    if not raw.startswith(b"%"):
        raise broken(path, 0, f"the header of a .dat file, '% ...', is not there: {raw[:12]!r}")
    start = end_of_comments(path, raw, b"%")
    kind = raw[start : start + 2]
    if kind not in _DAT_EVENTS:
        raise broken(path, start, f"type and size of the events are {kind!r}, not b'\\x00\\x08'")
    rest = (len(raw) - start - 2) % 8
    if rest:
        raise broken(path, len(raw) - rest, f"an event of 8 bytes has only {rest}")
    if len(raw) == start + 2:
        raise broken(path, len(raw), "the file ends without an event")
    decoded = Wizard(encoding="dat").read(path)
    events = np.empty(len(decoded), dtype=EVENT_DTYPE)
    for field in EVENT_DTYPE.names or ():
        events[field] = decoded[field]
    foreign = (events["y"] >= sensor[0]) | (events["x"] >= sensor[1])
    if foreign.any():
        first = int(foreign.argmax())
        told = f"an event at x={events['x'][first]}, y={events['y'][first]}: {beyond(sensor)}"
        raise broken(path, start + 2 + 8 * first, told)
    return events
