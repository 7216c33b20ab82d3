"""The 5-byte events of N-MNIST and N-Caltech101, as their ATIS camera was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.event_file import Sensor, broken, file_bytes, in_order, require_inside
from qsnn_plugins.data.frames import EVENT_DTYPE

_OVERFLOW_ROW = 240  # an "event" in this row says that the clock has gone on by so much
_OVERFLOW = 1 << 13


def read_atis_bin(path: Path, sensor: Sensor) -> NDArray[np.void]:
    """Read the 5-byte events of N-MNIST and N-Caltech101, in order of time.

    Bytes: column, row, then one bit of polarity and 23 bits of time, most significant first.

    Args:
        path: The file.
        sensor: (H, W) in pixels; an event outside it marks a file of another format.

    Returns:
        Structured array with the fields of `EVENT_DTYPE`.

    Raises:
        DataError: The file is empty, ends inside an event, or has an event outside the sensor or at
            an impossible time.

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
    overflow = fields[:, 1] == _OVERFLOW_ROW
    overflows = np.cumsum(overflow)[~overflow]
    offsets = 5 * np.flatnonzero(~overflow)
    x, y, *bits = fields[~overflow].astype(np.int64).T
    require_inside(path, x, y, sensor, offsets)
    if len(x) == 0:
        raise broken(path, len(raw), "the file ends without an event")
    events = np.empty(len(x), dtype=EVENT_DTYPE)
    events["x"], events["y"], events["p"] = x, y, bits[0] >> 7
    events["t"] = ((bits[0] & 0x7F) << 16 | bits[1] << 8 | bits[2]) + overflows * _OVERFLOW
    return in_order(path, events)
