"""Readers of AEDAT files, versions 2.0, 3.1 and 4: a path to its events, in order of time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.event_file import (
    Sensor,
    broken,
    file_bytes,
    in_order,
    require_inside,
    require_whole,
    structured,
)
from qsnn_plugins.data.frames import require_in_sensor
from qsnn_plugins.errors import DataError
from qsnn_plugins.extras import import_extra

_AEDAT2_EXTERNAL = 0x8000  # a pulse at the camera's input pin, not an event
_AEDAT3_COUNTS = ("size", "offset", "overflow", "capacity", "number", "valid")
_AEDAT3_PACKET = np.dtype(
    [("type", "<u2"), ("source", "<u2"), *((name, "<u4") for name in _AEDAT3_COUNTS)]
)
_AEDAT3_POLARITY = 1  # type of a packet whose events say that a pixel became brighter or darker


def read_dvs128_aedat2(path: Path) -> NDArray[np.void]:
    r"""Read an AEDAT 2.0 file of a DVS128, upright as CIFAR10-DVS shows its images.

    After lines that begin with '#' come pairs of 32-bit big-endian words, address and time. Of an
    address, bit 0 is 0 for ON, bits 1 to 7 are jAER's column, counted from the right, and bits 8 to
    14 its row, counted from the bottom; bit 15 marks external pulses, which are left out. The
    images of CIFAR10-DVS stand upright with both exchanged, as SpikingJelly reads them: column
    127 - (bits 8 to 14), row 127 - (bits 1 to 7).

    Raises:
        DataError: The file is empty, is not AEDAT 2.0, ends inside an event, or has an address that
            a DVS128 cannot have or an impossible time.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "cifar10_cat_0.aedat"
        >>> words = np.array([(127 - 5) << 8 | (127 - 9) << 1 | 0, 70], dtype=">u4")
        >>> _ = path.write_bytes(b"#!AER-DAT2.0\r\n" + words.tobytes())
        >>> read_dvs128_aedat2(path).tolist()  # time counts from the first event
        [(5, 9, 0, True)]
    """
    raw = file_bytes(path)
    start = _header(path, raw, "2.0")
    require_whole(path, start, len(raw) - start, 8)
    address, clock = (
        np.frombuffer(raw, dtype=">u4", offset=start).astype(np.uint32).reshape(-1, 2).T
    )
    unknown = address > 0xFFFF
    if unknown.any():
        first = int(unknown.argmax())
        raise broken(path, start + 8 * first, f"address {address[first]:#x}: a DVS128 has 16 bits")
    inside = address & _AEDAT2_EXTERNAL == 0
    address, clock = address[inside].astype(np.int64), clock[inside]
    x, y = 127 - (address >> 8 & 0x7F), 127 - (address >> 1 & 0x7F)
    events = in_order(path, structured(path, x, y, clock, address & 1 == 0), wraps=True)
    events["t"] -= events["t"][0]
    return events


def read_aedat3(path: Path, sensor: Sensor) -> NDArray[np.void]:
    r"""Read the polarity events of an AEDAT 3.1 file, such as those of DVS128 Gesture.

    After lines that begin with '#' come packets: a header of 28 bytes, then events of one type and
    size, all little-endian. A polarity event is a word of data (bit 0: valid, bit 1: ON, bits 2 to
    16: row, bits 17 to 31: column, both from the upper left) and a word of time, to which the
    packet's header adds the 31 higher bits. Packets of other types and events that are marked as
    not valid are left out.

    Raises:
        DataError: The file is empty, is not AEDAT 3.1, ends inside a packet, or has an event
            outside the sensor or at an impossible time.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "user01_led.aedat"
        >>> packet = np.array([(1, 0, 8, 4, 0, 1, 1, 1)], dtype=_AEDAT3_PACKET)
        >>> event = np.array([5 << 17 | 9 << 2 | 1 << 1 | 1, 70], dtype="<u4")
        >>> _ = path.write_bytes(b"#!AER-DAT3.1\r\n" + packet.tobytes() + event.tobytes())
        >>> read_aedat3(path, sensor=(128, 128)).tolist()
        [(5, 9, 70, True)]
    """
    raw = file_bytes(path)
    start = _header(path, raw, "3.1")
    packets = [np.empty((0, 3), dtype=np.int64)]
    while start < len(raw):
        body = start + _AEDAT3_PACKET.itemsize
        if body > len(raw):
            raise broken(path, start, f"a packet's header of 28 bytes has only {len(raw) - start}")
        header = np.frombuffer(raw, dtype=_AEDAT3_PACKET, count=1, offset=start)[0]
        size, capacity, number = (int(header[name]) for name in ("size", "capacity", "number"))
        end = body + size * capacity
        if end > len(raw) or number > capacity:
            what = f"a packet of {capacity} events of {size} bytes has only {len(raw) - body} bytes"
            raise broken(path, start, what)
        if header["type"] == _AEDAT3_POLARITY:
            if (overflow := int(header["overflow"])) >= 1 << 31:
                raise broken(path, start, f"a clock that has overflowed {overflow} times")
            if size != 8:
                raise broken(path, start, f"polarity events of {size} bytes: they have 8")
            words = np.frombuffer(raw, dtype="<u4", count=2 * number, offset=body).reshape(-1, 2)
            data, clock = words.astype(np.int64).T
            offsets = body + 8 * np.arange(number)
            clock |= overflow << 31
            packets.append(np.stack([data, clock, offsets], axis=1)[data & 1 == 1])
        start = end
    data, clock, offsets = np.concatenate(packets).T
    x, y = data >> 17, data >> 2 & 0x7FFF
    require_inside(path, x, y, sensor, offsets)
    return in_order(path, structured(path, x, y, clock, data & 2 != 0))


def read_aedat4(path: Path, sensor: Sensor) -> NDArray[np.void]:
    """Read the first event stream of an AEDAT 4 file, by way of the package aedat.

    Raises:
        DependencyError: The package aedat is not installed.
        DataError: The file cannot be read, or has an event outside the sensor or at an impossible
            time.
    """
    aedat = import_extra("aedat", "aedat", str(path))
    file_bytes(path)
    try:
        decoder = aedat.Decoder(str(path))
        streams = decoder.id_to_stream().items()
        stream = min(number for number, kind in streams if kind["type"] == "events")
        packets = [packet["events"] for packet in decoder if packet["stream_id"] == stream]
    # the decoder is compiled code, and raises bare Exceptions
    except Exception as error:
        raise DataError(f"{path} cannot be read as AEDAT 4: {error}") from error
    x, y, clock, on = (
        np.concatenate(
            [np.empty(0, dtype=np.int64), *(packet[field].astype(np.int64) for packet in packets)]
        )
        for field in ("x", "y", "t", "on")
    )
    require_in_sensor(x, y, sensor, file=f"{path}: ")
    return in_order(path, structured(path, x, y, clock, on))


def _header(path: Path, raw: bytes, version: str) -> int:
    """Return where the data of an AEDAT file begin."""
    mark = f"#!AER-DAT{version}"
    if not raw.startswith(mark.removesuffix(version[1:]).encode()):
        raise broken(
            path, 0, f"the header of AEDAT {version}, '{mark}', is not there: {raw[:12]!r}"
        )
    start = 0
    while raw[start : start + 1] == b"#":
        end = raw.find(b"\n", start)
        if end < 0:
            raise broken(path, start, "a line of the header does not end")
        start = end + 1
    return start
