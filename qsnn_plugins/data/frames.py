"""From events to frames: the time bin and the pixel of each event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.checks import at_least, height_width, one_of
from qsnn_plugins.errors import DataError
from qsnn_plugins.spec.checks import boolean

EVENT_DTYPE = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.bool_)])
"""One event, as in tonic: column, row (0 at the top), microseconds, True where brighter."""

POLARITIES = 2
"""Channel 0 counts OFF events (darker), channel 1 counts ON events (brighter)."""


@dataclass(frozen=True)
class FrameBinning:
    """How a recording becomes frames [T, 2, H, W].

    Each event is in exactly one bin. With `bin_by="time"` it is bin `min(floor(T (t - t_0) / (t_1 -
    t_0)), T - 1)`: T bins of equal time, half open, the last one closed (numpy's histogram
    convention). With `bin_by="count"` event i of n, in order of time, is in bin `floor(T i / n)`:
    the bins differ by at most one event. If a recording divides evenly into T bins, these are also
    the bins of tonic and SpikingJelly; otherwise tonic drops the rest and SpikingJelly adds it to
    the last bin.

    A pixel (x, y) of a sensor of H_s by W_s pixels goes to (floor(x W / W_s), floor(y H / H_s)).

    Args:
        time_steps: T, the number of frames.
        size: (H, W) of a frame in pixels, or one side of a square; None keeps the sensor's size.
        bin_by: "time" for bins of equal duration, "count" for bins of equally many events.
        binary: True sets pixels with events to 1; False counts the events, up to 255.

    Raises:
        ArgumentError: A setting is out of its range.

    Example:
        >>> events = np.array([(0, 0, 10, 1), (1, 0, 19, 0), (1, 0, 30, 0)], dtype=EVENT_DTYPE)
        >>> frames = FrameBinning(time_steps=2, binary=False)(events, sensor=(1, 2))
        >>> frames.shape  # two steps, OFF and ON, one row, two columns
        (2, 2, 1, 2)
        >>> frames[:, 0, 0, 1].tolist(), frames[:, 1, 0, 0].tolist()
        ([1, 1], [1, 0])
    """

    time_steps: int
    size: int | tuple[int, int] | None = None
    bin_by: str = "time"
    binary: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "time_steps", at_least("time_steps", self.time_steps, 1))
        one_of("bin_by", self.bin_by, ("time", "count"))
        boolean("binary", self.binary)
        if self.size is not None:
            # One spelling of a size, so that equal binnings compare and hash as equal.
            object.__setattr__(self, "size", height_width("size", self.size))

    def shape(self, sensor: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return (T, 2, H, W) for a sensor of (H_s, W_s) pixels.

        Example:
            >>> FrameBinning(time_steps=10, size=48).shape((128, 128))
            (10, 2, 48, 48)
        """
        height, width = sensor if self.size is None else height_width("size", self.size)
        return self.time_steps, POLARITIES, height, width

    def __call__(
        self,
        events: NDArray[np.void],
        sensor: tuple[int, int],
        span: tuple[int, int] | None = None,
    ) -> NDArray[np.uint8]:
        """Return the frames [T, 2, H, W] of one recording.

        Args:
            events: Structured array with the fields of `EVENT_DTYPE`; empty is allowed.
            sensor: (H_s, W_s) of the camera in pixels.
            span: (t_0, t_1) in microseconds for bins of equal time, where it is known better than
                from the first and the last event.

        Raises:
            DataError: An event lies outside the sensor or the span, its polarity is neither 0 nor
                1, or one of its values is not an integer, as where times are in seconds.
        """
        shape = self.shape(sensor)
        if len(events) == 0:
            return np.zeros(shape, dtype=np.uint8)
        x, y, t, channel = (_integers(events, field) for field in "xytp")
        require_in_sensor(x, y, sensor)
        column, row = x * shape[3] // sensor[1], y * shape[2] // sensor[0]
        step = self._step(t, span)
        unknown = (channel < 0) | (channel >= POLARITIES)
        if unknown.any():
            first = int(unknown.argmax())
            raise DataError(
                f"event {first} has polarity p={channel[first]}: give 0 (OFF, darker) or 1 (ON), "
                "for instance events['p'] > 0"
            )
        flat = ((step * POLARITIES + channel) * shape[2] + row) * shape[3] + column
        counts = np.bincount(flat, minlength=int(np.prod(shape)))
        return np.minimum(counts, 1 if self.binary else 255).astype(np.uint8).reshape(shape)

    def _step(self, t: NDArray[np.int64], span: tuple[int, int] | None) -> NDArray[np.int64]:
        """Return the bin, 0 to T - 1, of each event."""
        if self.bin_by == "count":
            step = np.empty_like(t)
            step[np.argsort(t, kind="stable")] = np.arange(len(t)) * self.time_steps // len(t)
            return step
        start, end = (int(t.min()), int(t.max())) if span is None else span
        if t.min() < start or t.max() > end:
            raise DataError(f"events from {t.min()} to {t.max()} µs lie outside {start} to {end}")
        if (end - start) * self.time_steps > np.iinfo(np.int64).max:
            raise DataError(f"events from {start} to {end} µs: no recording is so long")
        step = (t - start) * self.time_steps // max(end - start, 1)
        return np.minimum(step, self.time_steps - 1)


def _integers(events: NDArray[np.void], field: str) -> NDArray[np.int64]:
    """Return a field of events; DataError where a value is no integer."""
    values = events[field]
    if values.dtype.kind not in "biuf":
        raise DataError(f"events have {field} of type {values.dtype}: give integers")
    with np.errstate(invalid="ignore"):
        integers = values.astype(np.int64)
    changed = integers != values
    if changed.any():
        first = int(changed.argmax())
        unit = " in microseconds" if field == "t" else ""
        raise DataError(f"event {first} has {field}={values[first]}: give integers{unit}")
    return integers


def require_in_sensor(
    x: NDArray[np.int64], y: NDArray[np.int64], sensor: tuple[int, int], file: str = ""
) -> None:
    """Raise DataError for the first event outside the sensor, which would wrap into a neighbour."""
    outside = (x < 0) | (x >= sensor[1]) | (y < 0) | (y >= sensor[0])
    if outside.any():
        first = int(outside.argmax())
        raise DataError(
            f"{file}event {first} at x={x[first]}, y={y[first]} lies outside the sensor "
            f"of {sensor[0]} x {sensor[1]} pixels (height x width)"
        )
