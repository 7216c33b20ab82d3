"""Readers of event files: a path in, events in tonic's fields out, or a sentence on what is wrong.

Rows count from the top, columns from the left, time in microseconds; p is True where it became
brighter.
"""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import tonic.io
from numpy.typing import NDArray

from qsnn_plugins.data.frames import EVENT_DTYPE
from qsnn_plugins.errors import DataError

Sensor = tuple[int, int]

_ATIS_OVERFLOW_ROW = 240  # an "event" in this row says that the clock wrapped
_AEDAT2_EXTERNAL = 0x8000  # a pulse at the camera's input pin, not an event


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
    raw = _bytes(path)
    whole = len(raw) // 5 * 5
    if whole != len(raw):
        raise _broken(path, whole, f"an event of 5 bytes has only {len(raw) - whole}")
    fields = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 5)
    x, y = fields[:, 0], fields[:, 1]
    foreign = ((y >= sensor[0]) | (x >= sensor[1])) & (y != _ATIS_OVERFLOW_ROW)
    if foreign.any():
        first = int(foreign.argmax())
        raise _broken(path, 5 * first, f"an event at x={x[first]}, y={y[first]}: {_beyond(sensor)}")
    return _some(path, tonic.io.read_mnist_file(io.BytesIO(raw), EVENT_DTYPE, is_stream=True))


def read_dvs128_aedat2(path: Path) -> NDArray[np.void]:
    r"""Read an AEDAT 2.0 file of a DVS128, upright as CIFAR10-DVS shows its images.

    After lines that begin with '#' come pairs of 32-bit big-endian words, address and time. Of an
    address, bit 0 is 0 for ON, bits 1 to 7 are jAER's column, counted from the right, and bits 8 to
    14 its row, counted from the bottom; bit 15 marks external pulses, which are left out. The
    images of CIFAR10-DVS stand upright with both exchanged, as SpikingJelly reads them: column
    127 - (bits 8 to 14), row 127 - (bits 1 to 7).

    Raises:
        DataError: The file is empty, is not AEDAT 2.0, ends inside an event, or has an address that
            a DVS128 cannot have.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "cifar10_cat_0.aedat"
        >>> words = np.array([(127 - 5) << 8 | (127 - 9) << 1 | 0, 70], dtype=">u4")
        >>> _ = path.write_bytes(b"#!AER-DAT2.0\r\n" + words.tobytes())
        >>> read_dvs128_aedat2(path).tolist()  # time counts from the first event
        [(5, 9, 0, True)]
    """
    raw = _bytes(path)
    if not raw.startswith(b"#!AER-DAT2"):
        raise _broken(
            path, 0, f"the header of AEDAT 2.0, '#!AER-DAT2.0', is not there: {raw[:12]!r}"
        )
    start = 0
    while raw[start : start + 1] == b"#":
        end = raw.find(b"\n", start)
        if end < 0:
            raise _broken(path, start, "a line of the header does not end")
        start = end + 1
    whole = (len(raw) - start) // 8 * 8
    if start + whole != len(raw):
        rest = len(raw) - start - whole
        raise _broken(path, start + whole, f"an event of 8 bytes has only {rest}")
    address, clock = (
        np.frombuffer(raw, dtype=">u4", offset=start).astype(np.uint32).reshape(-1, 2).T
    )
    foreign = address > 0xFFFF
    if foreign.any():
        first = int(foreign.argmax())
        raise _broken(path, start + 8 * first, f"address {address[first]:#x}: a DVS128 has 16 bits")
    inside = address & _AEDAT2_EXTERNAL == 0
    address, clock = address[inside].astype(np.int64), clock[inside]
    events = np.empty(len(address), dtype=EVENT_DTYPE)
    events["x"] = 127 - (address >> 8 & 0x7F)
    events["y"] = 127 - (address >> 1 & 0x7F)
    events["p"] = address & 1 == 0
    # The camera's clock of 32 bits may wrap; a difference of 32 bits, taken as signed, does not.
    events["t"] = (clock - clock[:1]).view(np.int32)
    return _some(path, events)


def read_aedat4(path: Path, sensor: Sensor) -> NDArray[np.void]:
    """Read the first event stream of an AEDAT 4 file, by way of tonic and the package aedat.

    Args:
        path: The file.
        sensor: (H, W) in pixels; an event outside it marks a foreign file.

    Raises:
        DataError: The package aedat is not installed, or the file cannot be read.
    """
    if find_spec("aedat") is None:
        raise DataError(
            f"{path} needs the package aedat, which is not installed: pip install aedat"
        )
    _bytes(path)
    try:
        decoded = tonic.io.read_aedat4(str(path))
    # aedat's decoder is a foreign extension, and raises bare Exceptions.
    except Exception as error:
        raise DataError(f"{path} cannot be read as AEDAT 4: {error}") from error
    events = np.empty(len(decoded), dtype=EVENT_DTYPE)
    for ours, theirs in zip(EVENT_DTYPE.names or (), ("x", "y", "t", "on"), strict=True):
        events[ours] = decoded[theirs]
    if len(events) and (events["y"].max() >= sensor[0] or events["x"].max() >= sensor[1]):
        raise DataError(f"{path} has events that are {_beyond(sensor)}")
    return _some(path, events)


def _bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not raw:
        raise _broken(path, 0, "the file is empty")
    return raw


def _some(path: Path, events: NDArray[np.void]) -> NDArray[np.void]:
    if len(events) == 0:
        raise _broken(path, path.stat().st_size, "the file ends without an event")
    return events


def _broken(path: Path, offset: int, what: str) -> DataError:
    return DataError(f"{path} is truncated or of another format: at byte {offset}, {what}")


def _beyond(sensor: Sensor) -> str:
    return f"outside the sensor of {sensor[0]} x {sensor[1]} pixels (height x width)"
