"""The 5-byte events of N-MNIST and N-Caltech101, as their ATIS camera was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.event_file import (
    Sensor,
    file_bytes,
    in_order,
    require_inside,
    require_whole,
    structured,
)

_OVERFLOW_ROW = 240  # an "event" in this row says that the clock has gone on by so much
_OVERFLOW = 1 << 13


def read_atis_bin(path: Path, sensor: Sensor) -> NDArray[np.void]:
    """Read the 5-byte events of N-MNIST and N-Caltech101, in order of time.

    Bytes: column, row, then one bit of polarity and 23 bits of time, most significant first.

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
    require_whole(path, 0, len(raw), 5)
    fields = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 5)
    overflow = fields[:, 1] == _OVERFLOW_ROW
    overflows = np.cumsum(overflow)[~overflow]
    x, y, high, middle, low = fields[~overflow].astype(np.int64).T
    require_inside(path, x, y, sensor, offsets=5 * np.flatnonzero(~overflow))
    t = ((high & 0x7F) << 16 | middle << 8 | low) + overflows * _OVERFLOW
    return in_order(path, structured(path, x, y, t, high >> 7))
