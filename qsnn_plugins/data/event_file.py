"""Common parts of the readers of event files: bytes, errors, and the order of time."""

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

MOST_LATE = 10_000
"""Microseconds that an event may come after a later one."""

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
    path: Path,
    events: NDArray[np.void],
    *,
    wraps: bool = False,
    first: int = 0,
    whole: bool = True,
) -> NDArray[np.void]:
    """Return the events of a file in order of time, and refuse a time that cannot be.

    A 32-bit clock advances by less than half of its period between two events, so a step back by
    more than 2^31 is an overflow of the clock. Cameras deliver some events a little late; they are
    sorted, and their number is logged once per file. An event that is more than 10 ms out of order
    has an impossible time. So has a first or last event that is further away from all others than
    the duration of these others.

    Args:
        path: The file.
        events: Its events, with times in microseconds.
        wraps: Whether the times are of a clock that begins anew after 2^32.
        first: Number in the file of the first event, for the message.
        whole: Whether these are all events of the file; of a part, the ends say nothing.

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
    t = events["t"]
    if wraps:
        steps = np.diff(recorded).astype(np.int32)  # modulo 2^32, from -2^31 on
        t[1:] = recorded[:1] + np.cumsum(steps, dtype=np.int64)
    odd = _odd_one(recorded, t, wraps)
    order = np.argsort(t, kind="stable")
    if odd is None and whole and (end := odd_end(t[order])) is not None:
        odd = int(order[end])
    if odd is not None:
        raise impossible(path, recorded, odd, first)
    lateness = np.maximum.accumulate(t) - t
    if not (count := np.count_nonzero(lateness)):
        return events
    if path not in _logged:
        _logged.add(path)
        _log.info("%s: %d events were late, by %d µs at most", path, count, lateness.max())
    return events[order]


def odd_end(t: NDArray[np.int64]) -> int | None:
    """Return 0 or -1 where the first or the last of ordered times is far from all others.

    Far is further than the others last, and more than 10 ms: frames would have them in few bins.

    Args:
        t: Times [N] in microseconds; the first two and the last two are looked at.

    Example:
        >>> odd_end(np.array([0, 1_000, 2_000, 500_000_000]))
        -1
    """
    if len(t) < 3:
        return None
    if t[1] - t[0] > max(t[-1] - t[1], MOST_LATE):
        return 0
    return -1 if t[-1] - t[-2] > max(t[-2] - t[0], MOST_LATE) else None


def require_possible(path: Path, t: NDArray[np.int64], first: int) -> None:
    """Raise DataError if one of the times [N], of events from number `first` on, cannot be."""
    if (odd := _odd_one(t, t, wraps=False)) is not None:
        raise impossible(path, t, odd, first)


def impossible(path: Path, t: NDArray[np.int64], odd: int, first: int) -> DataError:
    """Return the error of an impossible time among times [N] of events from `first` on."""
    near = [index for index in (odd - 1, odd + 1) if 0 <= index < len(t)]
    beside = " and ".join(f"{t[index]} µs" for index in near)
    return DataError(
        f"{path} has an impossible time: event {first + odd} is at {t[odd]} µs, "
        f"the events beside it at {beside}"
    )


def _odd_one(recorded: NDArray[np.int64], t: NDArray[np.int64], wraps: bool) -> int | None:
    """Return the first event without which the times `t` would be possible, if there is one."""

    def follows(before: int, after: int) -> bool:
        step = recorded[after] - recorded[before]
        return bool((step.astype(np.int32) if wraps else step) >= -MOST_LATE)

    if (recorded < 0).any():
        return int((recorded < 0).argmax())
    far = np.maximum.accumulate(t) - t > MOST_LATE
    if far.any():
        late = int(far.argmax())
        if late + 1 < len(t):
            return late if follows(late - 1, late + 1) else late - 1
        return late - 1 if late > 1 and follows(late - 2, late) else late
    jumps = np.diff(t) >= CLOCK_PERIOD // 2
    if jumps.any():
        before = int(jumps.argmax())
        return 0 if before == 0 and len(t) > 2 else before + 1
    return None
