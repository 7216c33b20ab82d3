"""AEDAT files, whole, truncated and foreign."""

import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from qsnn_plugins.data.aedat import read_aedat3, read_aedat4, read_dvs128_aedat2
from qsnn_plugins.data.frames import EVENT_DTYPE, FrameBinning
from qsnn_plugins.errors import DataError, DependencyError

from .event_files import REAL, needs_real

HEADER = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n#\xe9 a comment of another alphabet\r\n"
HEADER_3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n"


def aedat2(*words):
    """Return the bytes of (address, clock) under a header."""
    return HEADER + np.array(words, dtype=">u4").tobytes()


def packet(*events, kind=1, size=8, overflow=0, capacity=None, number=None):
    """Return the bytes of a packet of AEDAT 3.1 whose events are words (data, clock)."""
    body = np.array(events, dtype="<u4").tobytes()
    counts = size, 4, overflow, capacity or len(events), number or len(events), len(events)
    return np.array([kind, 0], "<u2").tobytes() + np.array(counts, "<u4").tobytes() + body


def polarity(x, y, p, valid=1):
    """Return the word of data of a polarity event."""
    return x << 17 | y << 2 | p << 1 | valid


@pytest.fixture
def write(tmp_path):
    def write(raw, name="00042.bin"):
        (tmp_path / name).write_bytes(raw)
        return tmp_path / name

    return write


def test_dvs128_addresses(write):
    """Bit 0 is OFF, bits 1 to 7 the row from the bottom, bits 8 to 14 the column from the right."""
    path = write(aedat2((0, 100), (0x7FFF, 150), (3 << 8 | 20 << 1 | 1, 175)))
    events = read_dvs128_aedat2(path)
    assert events.dtype == EVENT_DTYPE
    assert events.tolist() == [(127, 127, 0, True), (0, 0, 50, False), (124, 107, 75, False)]


# SpikingJelly's package of data sets imports torchaudio, which is unused here; in a process of its
# own the stand-ins cannot reach other tests.
SPIKINGJELLY_READS = """
import sys
from unittest.mock import MagicMock
import numpy as np
for name in ("torchaudio", "torchaudio.transforms", "torchaudio.functional"):
    sys.modules[name] = MagicMock()
import qsnn_plugins.data  # registers torchvision's operators
from spikingjelly.datasets.cifar10_dvs import _load_origin_data
from spikingjelly.datasets.utils import load_aedat_v3
np.savez(sys.argv[1] + ".npz", **_load_origin_data(sys.argv[1]))
np.savez(sys.argv[2] + ".npz", **load_aedat_v3(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def spikingjelly_read(tmp_path_factory):
    """A file of each version, and what SpikingJelly reads in it."""
    rng = np.random.default_rng(0)
    words = np.stack([rng.integers(0, 0x8000, 500), np.sort(rng.integers(0, 10**6, 500))], axis=1)
    second = HEADER.replace(b"\xe9", b"e") + words.astype(">u4").tobytes()
    # all events are valid here; packets of other types lie between those of polarity
    third = HEADER_3
    for part in range(4):
        x, y, p = (rng.integers(0, high, 50).tolist() for high in (128, 128, 2))
        t = np.sort(rng.integers(0, 10**6, 50)) + part * 10**6
        third += packet(*zip(map(polarity, x, y, p), t.tolist(), strict=True))
        third += packet((1, 5), kind=0)
        third += packet((1, 5, 0, 0, 0, 0, 0, 0, 0), kind=3, size=36, capacity=1, number=1)
    paths = [tmp_path_factory.mktemp("aedat") / f"{name}.aedat" for name in ("second", "third")]
    for path, raw in zip(paths, (second, third), strict=True):
        path.write_bytes(raw)
    subprocess.run([sys.executable, "-c", SPIKINGJELLY_READS, *map(str, paths)], check=True)
    return [(path, np.load(f"{path}.npz")) for path in paths]


def test_dvs128_reads_what_spikingjelly_reads(spikingjelly_read):
    path, theirs = spikingjelly_read[0]
    ours = read_dvs128_aedat2(path)
    for field in "xyp":
        np.testing.assert_array_equal(ours[field], theirs[field])
    np.testing.assert_array_equal(ours["t"], theirs["t"].astype(np.int64) - int(theirs["t"][0]))


def test_aedat3_reads_what_spikingjelly_reads(spikingjelly_read):
    path, theirs = spikingjelly_read[1]
    ours = read_aedat3(path, (128, 128))
    assert len(ours) == 200
    for field in "xytp":
        np.testing.assert_array_equal(ours[field], theirs[field])


def test_dvs128_external_pulses_are_no_events(write):
    events = read_dvs128_aedat2(write(aedat2((0x8000, 1), (0, 2), (0x8001, 3))))
    assert events.tolist() == [(127, 127, 0, True)]


def test_dvs128_clock_wraps(write):
    path = write(aedat2((0, 2**32 - 10), (0, 2**32 - 4), (0, 30)))
    assert read_dvs128_aedat2(path)["t"].tolist() == [0, 6, 40]


@pytest.mark.parametrize(
    ("raw", "offset", "what"),
    [
        (b"", 0, "the file is empty"),
        (b"PK\3\4", 0, "the header of AEDAT 2.0"),
        (b"#!AER-DAT3.1\r\n" + bytes(28), 0, "the header of AEDAT 2.0"),
        (b"#!AER-DAT2.0\r\n# and so", 14, "a line of the header does not end"),
        (HEADER, len(HEADER), "without an event"),
        (aedat2((0, 1))[:-3], len(HEADER), "an event of 8 bytes has only 5"),
        (aedat2((0, 1), (0x10000, 2)), len(HEADER) + 8, "address 0x10000"),
    ],
)
def test_broken_aedat2_files_are_named(write, raw, offset, what):
    path = write(raw, "cifar10_cat_3.aedat")
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))} .*byte {offset}, .*{what}"):
        read_dvs128_aedat2(path)


def test_aedat4_without_its_package_says_what_to_install(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(DependencyError, match=r"pip install 'qsnn-plugins\[aedat\]'$"):
        read_aedat4(write(b"#!AER-DAT4.0\r\n", "a.aedat4"), (128, 128))


class Decoder:
    """As the decoder of the package aedat: packets of several streams, events with t, x, y, on."""

    FIELDS = (("t", "u8"), ("x", "u2"), ("y", "u2"), ("on", "?"))

    def __init__(self, path):
        self.packets = {0: None, 2: [(12, 0, 1, False)], 1: [(9, 3, 4, True), (8, 5, 6, False)]}

    def id_to_stream(self):
        return {0: {"type": "frame"}, 2: {"type": "events"}, 1: {"type": "events"}}

    def __iter__(self):
        for stream, packet in self.packets.items():
            events = None if packet is None else np.array(packet, dtype=list(self.FIELDS))
            yield {"stream_id": stream} | ({} if packet is None else {"events": events})


def test_aedat4_gives_the_first_stream_of_events(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "aedat", SimpleNamespace(Decoder=Decoder))
    path = write(b"#!AER-DAT4.0\r\n", "a.aedat4")
    events = read_aedat4(path, (128, 128))
    assert events.dtype == EVENT_DTYPE
    assert events.tolist() == [(5, 6, 8, False), (3, 4, 9, True)]
    with pytest.raises(DataError, match=r"event 0 at x=3, y=4 lies outside the sensor of 3 x 128"):
        read_aedat4(path, (3, 128))


@needs_real
def test_a_real_recording_of_aedat4_is_what_its_package_reads():
    aedat = pytest.importorskip("aedat", reason="aedat, an extra, is not installed")
    path = REAL / "davis_sample.aedat4"
    theirs = np.concatenate([p["events"] for p in aedat.Decoder(str(path)) if "events" in p])
    ours = read_aedat4(path, (260, 346))
    for field, name in zip("xytp", ("x", "y", "t", "on"), strict=True):
        np.testing.assert_array_equal(ours[field], theirs[name])


def test_aedat3_events(write):
    """Of two packets the second has a clock that overflowed and an event that is not valid."""
    second = packet((polarity(3, 4, 1), 7), (polarity(5, 6, 1, valid=0), 8), overflow=1)
    raw = (
        HEADER_3
        + packet((polarity(0, 127, 0), 2**31 - 3), (polarity(127, 0, 1), 2**31 - 2))
        + second
    )
    events = read_aedat3(write(raw, "user01_led.aedat"), (128, 128))
    assert events.dtype == EVENT_DTYPE
    expected = [(0, 127, -3, False), (127, 0, -2, True), (3, 4, 7, True)]
    events["t"] -= 2**31
    assert events.tolist() == expected


def test_aedat3_capacity_beyond_the_events_is_no_event(write):
    """A packet may be larger than what is in it."""
    raw = HEADER_3 + packet((polarity(1, 2, 1), 5), (polarity(9, 9, 1), 6), number=1)
    assert read_aedat3(write(raw), (128, 128)).tolist() == [(1, 2, 5, True)]


GOOD = packet((polarity(1, 1, 1), 5))


@pytest.mark.parametrize(
    ("raw", "offset", "what"),
    [
        (b"", 0, "the file is empty"),
        (HEADER, 0, "the header of AEDAT 3.1"),
        (b"#!AER-DAT3.1\r\n#Form", 14, "a line of the header does not end"),
        (HEADER_3, len(HEADER_3), "without an event"),
        (
            HEADER_3 + GOOD + GOOD[:9],
            len(HEADER_3) + 36,
            "a packet's header of 28 bytes has only 9",
        ),
        (HEADER_3 + GOOD[:-3], len(HEADER_3), "a packet of 1 events of 8 bytes has only 5 bytes"),
        (HEADER_3 + GOOD + packet((1, 1), number=2), len(HEADER_3) + 36, "a packet of 1 events"),
        (HEADER_3 + packet((1, 1), size=4), len(HEADER_3), "polarity events of 4 bytes"),
        (HEADER_3 + packet((1, 1), kind=0), len(HEADER_3) + 36, "without an event"),
        (
            HEADER_3 + GOOD + packet((polarity(1, 1, 0), 1), (polarity(128, 3, 0), 2)),
            len(HEADER_3) + 36 + 28 + 8,
            "x=128, y=3: outside the sensor of 128 x 128",
        ),
    ],
)
def test_broken_aedat3_files_are_named(write, raw, offset, what):
    path = write(raw, "user01_led.aedat")
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))} .*byte {offset}, .*{what}"):
        read_aedat3(path, (128, 128))


@needs_real
def test_real_recordings_of_other_formats_are_refused():
    for name in ("davis_sample.aedat4", "ncars_sample.dat", "nmnist_sample.bin"):
        said = f"{name} is truncated or of another format: at byte 0"
        with pytest.raises(DataError, match=said):
            read_aedat3(REAL / name, (128, 128))
        with pytest.raises(DataError, match=said):
            read_dvs128_aedat2(REAL / name)


@pytest.mark.parametrize("overflow", [1, 2**29, 2**31 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_aedat3_overflow_of_one_packet_is_an_error(write, overflow, place):
    """It is the upper half of 63 bits of time; one packet ahead of the others is impossible."""
    packets = [
        packet(*((polarity(1, 1, 1), 1_000 * part + 100 * n) for n in range(10)), overflow=turn)
        for part, turn in enumerate(overflow * (part == place) for part in range(3))
    ]
    with pytest.raises(DataError, match=r"an impossible time: event |has overflowed \d+ times"):
        read_aedat3(write(HEADER_3 + b"".join(packets)), (128, 128))


def test_aedat3_frames_of_a_late_clock_fall_into_their_bins(write):
    events = [(polarity(1, 1, 1), 1_000 * n) for n in range(100)]
    path = write(HEADER_3 + packet(*events, overflow=2**31 - 1))
    frames = FrameBinning(4, binary=False)(read_aedat3(path, (128, 128)), (128, 128))
    assert frames.sum(axis=(1, 2, 3)).tolist() == [25, 25, 25, 25]
