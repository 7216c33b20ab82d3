"""What the readers of event files share: bytes, what is wrong with them, and the order of time."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.frames import EVENT_DTYPE
from qsnn_plugins.errors import DataError

Sensor = tuple[int, int]
"""(H, W) of a camera in pixels; an event outside it marks a file of another format."""

CLOCK_PERIOD = 2**32
"""Microseconds after which a clock of 32 bits begins anew."""

_MOST_LATE = 10_000  # µs that an event may come after a later one
_log = logging.getLogger(__name__)
_logged: set[Path] = set()


def file_bytes(path: Path) -> bytes:
    """Return what a file holds; DataError where that is nothing."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not raw:
        raise broken(path, 0, "the file is empty")
    return raw


def broken(path: Path, offset: int, what: str) -> DataError:
    """Return the error of a file that is not what it should be from a byte on."""
    return DataError(f"{path} is truncated or of another format: at byte {offset}, {what}")


def require_whole(path: Path, start: int, length: int, size: int) -> None:
    """Raise DataError if `length` bytes from `start` on are not whole events of `size` bytes."""
    if rest := length % size:
        raise broken(path, start + length - rest, f"an event of {size} bytes has only {rest}")


def require_inside(
    path: Path, x: NDArray[Any], y: NDArray[Any], sensor: Sensor, offsets: NDArray[Any]
) -> None:
    """Raise DataError for the first event outside the sensor; `offsets` are the events' bytes."""
    outside = (y >= sensor[0]) | (x >= sensor[1])
    if outside.any():
        first = int(outside.argmax())
        raise broken(
            path,
            int(offsets[first]),
            f"an event at x={x[first]}, y={y[first]}: outside the sensor of {sensor[0]} x "
            f"{sensor[1]} pixels (height x width)",
        )


def structured(
    path: Path, x: NDArray[Any], y: NDArray[Any], t: NDArray[Any], p: NDArray[Any]
) -> NDArray[np.void]:
    """Return a file's events as an array of `EVENT_DTYPE`; DataError if there are none."""
    if len(t) == 0:
        raise broken(path, path.stat().st_size, "the file ends without an event")
    events = np.empty(len(t), dtype=EVENT_DTYPE)
    events["x"], events["y"], events["t"], events["p"] = x, y, t, p
    return events


def in_order(
    path: Path, events: NDArray[np.void], *, wraps: bool = False, first: int = 0
) -> NDArray[np.void]:
    """Return the events of a file in order of time, and refuse a time that cannot be.

    From one event to the next a clock of 32 bits moves by less than half of its period: a step back
    by more than 2^31 is a new turn of the clock, a smaller one is a step back. Cameras deliver some
    events a little late; they are sorted, and how many there were is logged once per file. An event
    that is more than 10 ms away from its place has a time that no camera has written.

    Args:
        path: The file.
        events: Its events, with times in microseconds.
        wraps: Whether the times are of a clock that begins anew after 2^32.
        first: Number in the file of the first event, for the message.

    Returns:
        The events; those of equal time keep their order.

    Raises:
        DataError: A time is far from that of its neighbours.

    Example:
        >>> events = np.array([(2**32 - 9,), (5,), (4,)], dtype=[("t", np.int64)])
        >>> in_order(Path("a.dat"), events, wraps=True)["t"].tolist()
        [4294967287, 4294967300, 4294967301]
    """
    recorded = events["t"].copy()
    steps = np.diff(recorded)
    if wraps:
        steps = steps.astype(np.int32).astype(np.int64)  # modulo 2^32, from -2^31 on
        events["t"][1:] = recorded[:1] + np.cumsum(steps)
    if (steps >= 0).all():
        return events
    t = events["t"]
    lateness = np.maximum.accumulate(t) - t
    far = np.flatnonzero(lateness > _MOST_LATE)
    if len(far):
        odd = _odd_one(t, int(far[0]))
        near = [index for index in (odd - 1, odd + 1) if 0 <= index < len(t)]
        beside = " and ".join(f"{recorded[index]} µs" for index in near)
        raise DataError(
            f"{path} has an impossible time: event {first + odd} is at {recorded[odd]} µs, "
            f"the events beside it at {beside}"
        )
    if path not in _logged:
        _logged.add(path)
        count, most = np.count_nonzero(lateness), int(lateness.max())
        _log.info("%s: %d events were late, by %d µs at most", path, count, most)
    return events[np.argsort(t, kind="stable")]


def _odd_one(t: NDArray[np.int64], late: int) -> int:
    """Return the event without which the step back before event `late` would not be there."""
    if late + 1 < len(t):
        return late if t[late + 1] >= t[late - 1] - _MOST_LATE else late - 1
    return late - 1 if late > 1 and t[late] >= t[late - 2] - _MOST_LATE else late
