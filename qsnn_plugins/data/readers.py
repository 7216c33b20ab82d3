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
from expelliarmus import Wizard
from numpy.typing import NDArray

from qsnn_plugins.data.frames import EVENT_DTYPE
from qsnn_plugins.errors import DataError

Sensor = tuple[int, int]

_ATIS_OVERFLOW_ROW = 240  # an "event" in this row says that the clock wrapped
_AEDAT2_EXTERNAL = 0x8000  # a pulse at the camera's input pin, not an event
_AEDAT3_COUNTS = ("size", "offset", "overflow", "capacity", "number", "valid")
_AEDAT3_PACKET = np.dtype(
    [("type", "<u2"), ("source", "<u2"), *((name, "<u4") for name in _AEDAT3_COUNTS)]
)
_AEDAT3_POLARITY = 1  # type of a packet whose events say that a pixel became brighter or darker
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
    start = _aedat_header(path, raw, b"#!AER-DAT2")
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


def read_aedat3(path: Path, sensor: Sensor) -> NDArray[np.void]:
    r"""Read the polarity events of an AEDAT 3.1 file, such as those of DVS128 Gesture.

    After lines that begin with '#' come packets: a header of 28 bytes, then events of one type and
    size, all little-endian. A polarity event is a word of data (bit 0: valid, bit 1: ON, bits 2 to
    16: row, bits 17 to 31: column, both from the upper left) and a word of time, to which the
    packet's header adds the 31 higher bits. Packets of other types and events that are marked as
    not valid are left out. (tonic's and SpikingJelly's readers take no notice of the marks; tonic
    1.7's cannot run, and SpikingJelly's decodes each event in Python.)

    Args:
        path: The file.
        sensor: (H, W) in pixels; an event outside it marks a foreign file.

    Raises:
        DataError: The file is empty, is not AEDAT 3.1, ends inside a packet, or has an event
            outside the sensor.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "user01_led.aedat"
        >>> packet = np.array([(1, 0, 8, 4, 0, 1, 1, 1)], dtype=_AEDAT3_PACKET)
        >>> event = np.array([5 << 17 | 9 << 2 | 1 << 1 | 1, 70], dtype="<u4")
        >>> _ = path.write_bytes(b"#!AER-DAT3.1\r\n" + packet.tobytes() + event.tobytes())
        >>> read_aedat3(path, sensor=(128, 128)).tolist()
        [(5, 9, 70, True)]
    """
    raw = _bytes(path)
    start = _aedat_header(path, raw, b"#!AER-DAT3")
    packets = [np.empty((0, 3), dtype=np.int64)]
    while start < len(raw):
        body = start + _AEDAT3_PACKET.itemsize
        if body > len(raw):
            raise _broken(path, start, f"a packet's header of 28 bytes has only {len(raw) - start}")
        header = np.frombuffer(raw, dtype=_AEDAT3_PACKET, count=1, offset=start)[0]
        size, capacity, number = (int(header[name]) for name in ("size", "capacity", "number"))
        end = body + size * capacity
        if end > len(raw) or number > capacity:
            told = f"a packet of {capacity} events of {size} bytes has only {len(raw) - body} bytes"
            raise _broken(path, start, told)
        if header["type"] == _AEDAT3_POLARITY:
            if size != 8:
                raise _broken(path, start, f"polarity events of {size} bytes: they have 8")
            words = np.frombuffer(raw, dtype="<u4", count=2 * number, offset=body).reshape(-1, 2)
            data, clock = words.astype(np.int64).T
            where = body + 8 * np.arange(number)
            clock |= int(header["overflow"]) << 31
            packets.append(np.stack([data, clock, where], axis=1)[data & 1 == 1])
        start = end
    data, clock, where = np.concatenate(packets).T
    x, y = data >> 17, data >> 2 & 0x7FFF
    foreign = (y >= sensor[0]) | (x >= sensor[1])
    if foreign.any():
        first = int(foreign.argmax())
        told = f"an event at x={x[first]}, y={y[first]}: {_beyond(sensor)}"
        raise _broken(path, int(where[first]), told)
    events = np.empty(len(data), dtype=EVENT_DTYPE)
    for field, values in zip(("x", "y", "t", "p"), (x, y, clock, data & 2 != 0), strict=True):
        events[field] = values
    return _some(path, events)


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
    raw = _bytes(path)
    if not raw.startswith(b"%"):
        raise _broken(path, 0, f"the header of a .dat file, '% ...', is not there: {raw[:12]!r}")
    start = _end_of_comments(path, raw, b"%")
    kind = raw[start : start + 2]
    if kind not in _DAT_EVENTS:
        raise _broken(path, start, f"type and size of the events are {kind!r}, not b'\\x00\\x08'")
    rest = (len(raw) - start - 2) % 8
    if rest:
        raise _broken(path, len(raw) - rest, f"an event of 8 bytes has only {rest}")
    if len(raw) == start + 2:
        raise _broken(path, len(raw), "the file ends without an event")
    decoded = Wizard(encoding="dat").read(path)
    events = np.empty(len(decoded), dtype=EVENT_DTYPE)
    for field in EVENT_DTYPE.names or ():
        events[field] = decoded[field]
    foreign = (events["y"] >= sensor[0]) | (events["x"] >= sensor[1])
    if foreign.any():
        first = int(foreign.argmax())
        told = f"an event at x={events['x'][first]}, y={events['y'][first]}: {_beyond(sensor)}"
        raise _broken(path, start + 2 + 8 * first, told)
    return events


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


def _aedat_header(path: Path, raw: bytes, version: bytes) -> int:
    """Return where the data of an AEDAT file begin."""
    if not raw.startswith(version):
        told = f"the header of AEDAT {version[-1:].decode()}, {version.decode()!r}"
        raise _broken(path, 0, f"{told}, is not there: {raw[:12]!r}")
    return _end_of_comments(path, raw, b"#")


def _end_of_comments(path: Path, raw: bytes, mark: bytes) -> int:
    """Return where the lines that begin with `mark` end."""
    start = 0
    while raw[start : start + 1] == mark:
        end = raw.find(b"\n", start)
        if end < 0:
            raise _broken(path, start, "a line of the header does not end")
        start = end + 1
    return start


def _some(path: Path, events: NDArray[np.void]) -> NDArray[np.void]:
    if len(events) == 0:
        raise _broken(path, path.stat().st_size, "the file ends without an event")
    return events


def _broken(path: Path, offset: int, what: str) -> DataError:
    return DataError(f"{path} is truncated or of another format: at byte {offset}, {what}")


def _beyond(sensor: Sensor) -> str:
    return f"outside the sensor of {sensor[0]} x {sensor[1]} pixels (height x width)"
