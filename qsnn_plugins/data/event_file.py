"""What the readers of event files share: the bytes, the lines before them, and what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.errors import DataError

Sensor = tuple[int, int]


def file_bytes(path: Path) -> bytes:
    """Return what a file holds; DataError where that is nothing."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not raw:
        raise broken(path, 0, "the file is empty")
    return raw


def end_of_comments(path: Path, raw: bytes, mark: bytes) -> int:
    """Return where the lines that begin with `mark` end."""
    start = 0
    while raw[start : start + 1] == mark:
        end = raw.find(b"\n", start)
        if end < 0:
            raise broken(path, start, "a line of the header does not end")
        start = end + 1
    return start


def not_empty(path: Path, events: NDArray[np.void]) -> NDArray[np.void]:
    """Return `events`; DataError where there is none."""
    if len(events) == 0:
        raise broken(path, path.stat().st_size, "the file ends without an event")
    return events


def broken(path: Path, offset: int, what: str) -> DataError:
    """Return the error of a file that is not what it should be from a byte on."""
    return DataError(f"{path} is truncated or of another format: at byte {offset}, {what}")


def beyond(sensor: Sensor) -> str:
    """Return in words what is wrong with an event that no pixel can have sent."""
    return f"outside the sensor of {sensor[0]} x {sensor[1]} pixels (height x width)"
