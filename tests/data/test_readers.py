"""Event files, whole, truncated and foreign."""

import importlib
import re
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import tonic

from qsnn_plugins.data.frames import EVENT_DTYPE
from qsnn_plugins.data.readers import read_aedat4, read_atis_bin, read_dvs128_aedat2
from qsnn_plugins.errors import DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "event_files"
HEADER = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n#\xe9 a comment of another alphabet\r\n"


def atis(*events):
    """Return the bytes of (x, y, t, p) in the format of N-MNIST."""
    return b"".join(
        bytes([x, y, p << 7 | t >> 16, t >> 8 & 0xFF, t & 0xFF]) for x, y, t, p in events
    )


def aedat2(*words):
    """Return the bytes of (address, clock) under a header."""
    return HEADER + np.array(words, dtype=">u4").tobytes()


@pytest.fixture
def write(tmp_path):
    def write(raw, name="00042.bin"):
        (tmp_path / name).write_bytes(raw)
        return tmp_path / name

    return write


def test_atis_events(write):
    path = write(atis((0, 33, 5, 0), (33, 0, 70_000, 1)))
    events = read_atis_bin(path, (34, 34))
    assert events.dtype == EVENT_DTYPE
    assert events.tolist() == [(0, 33, 5, False), (33, 0, 70_000, True)]


def test_atis_clock_wraps(write):
    path = write(atis((1, 1, 8_000, 0), (0, 240, 0, 0), (2, 2, 10, 0)))
    assert read_atis_bin(path, (34, 34))["t"].tolist() == [8_000, 8_192 + 10]


@pytest.mark.parametrize(
    ("raw", "offset", "what"),
    [
        (b"", 0, "the file is empty"),
        (atis((1, 1, 1, 1)) * 3 + b"\1\2", 15, "an event of 5 bytes has only 2"),
        (atis((1, 1, 1, 1), (34, 2, 1, 1)), 5, "x=34, y=2: outside the sensor of 34 x 34"),
        (atis((1, 1, 1, 1), (2, 34, 1, 1)), 5, "x=2, y=34: outside the sensor of 34 x 34"),
        (atis((1, 1, 1, 1), (1, 1, 2, 1), (3, 200, 1, 1)), 10, "x=3, y=200"),
        (atis((0, 240, 0, 0)), 5, "without an event"),
    ],
)
def test_broken_atis_files_are_named(write, raw, offset, what):
    path = write(raw)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))} .*byte {offset}, .*{what}"):
        read_atis_bin(path, (34, 34))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.bin cannot be read: No such file"):
        read_atis_bin(tmp_path / "gone.bin", (34, 34))


def test_dvs128_addresses(write):
    """Bit 0 is OFF, bits 1 to 7 the row from the bottom, bits 8 to 14 the column from the right."""
    path = write(aedat2((0, 100), (0x7FFF, 150), (3 << 8 | 20 << 1 | 1, 175)))
    events = read_dvs128_aedat2(path)
    assert events.dtype == EVENT_DTYPE
    assert events.tolist() == [(127, 127, 0, True), (0, 0, 50, False), (124, 107, 75, False)]


@pytest.fixture
def spikingjellys(monkeypatch):
    """Return SpikingJelly's reader; its package of data sets imports torchaudio, unused here."""
    for name in ("torchaudio", "torchaudio.transforms", "torchaudio.functional"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    known = set(sys.modules)
    module = importlib.import_module("spikingjelly.datasets.cifar10_dvs")
    yield module._load_origin_data
    for name in set(sys.modules) - known:
        if name.startswith("spikingjelly.datasets"):
            del sys.modules[name]


def test_dvs128_reads_what_spikingjelly_reads(write, spikingjellys):
    rng = np.random.default_rng(0)
    words = np.stack([rng.integers(0, 0x8000, 500), np.sort(rng.integers(0, 10**6, 500))], axis=1)
    path = write(aedat2(*words).replace(b"\xe9", b"e"))
    theirs = spikingjellys(path)
    ours = read_dvs128_aedat2(path)
    for field in "xyp":
        np.testing.assert_array_equal(ours[field], theirs[field])
    np.testing.assert_array_equal(ours["t"], theirs["t"].astype(np.int64) - int(theirs["t"][0]))


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
    monkeypatch.setattr("qsnn_plugins.data.readers.find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"pip install aedat$"):
        read_aedat4(write(b"#!AER-DAT4.0\r\n", "a.aedat4"), (128, 128))


def test_aedat4_fields_are_renamed(write, monkeypatch):
    """What tonic hands on from the package aedat: t, x, y, on."""
    theirs = np.array([(9, 3, 4, True)], dtype=[("t", "u8"), ("x", "u2"), ("y", "u2"), ("on", "?")])
    monkeypatch.setattr("qsnn_plugins.data.readers.find_spec", lambda _: True)
    monkeypatch.setattr(tonic.io, "read_aedat4", lambda _: theirs)
    path = write(b"#!AER-DAT4.0\r\n", "a.aedat4")
    assert read_aedat4(path, (128, 128)).tolist() == [(3, 4, 9, True)]
    with pytest.raises(DataError, match=r"outside the sensor of 3 x 128"):
        read_aedat4(path, (3, 128))


@pytest.mark.skipif(not REAL.exists(), reason=f"real recordings are not at {REAL}")
@pytest.mark.parametrize(
    ("name", "sensor", "duration"),
    [
        ("nmnist_sample.bin", (34, 34), 3e5),
        ("ncaltech101_faces_easy_0001.bin", (180, 240), 3e5),
    ],
)
def test_real_recordings_of_three_saccades(name, sensor, duration):
    events = read_atis_bin(REAL / name, sensor)
    assert len(events) == (REAL / name).stat().st_size // 5
    assert (np.diff(events["t"]) >= 0).all()
    assert events["t"][-1] == pytest.approx(duration, rel=0.1)
    assert 0.3 < events["p"].mean() < 0.7


@pytest.mark.skipif(not REAL.exists(), reason=f"real recordings are not at {REAL}")
@pytest.mark.parametrize("name", ["davis_sample.aedat4", "ncars_sample.dat"])
def test_real_recordings_of_other_formats_are_refused(name):
    with pytest.raises(DataError, match=f"{name} is truncated or of another format: at byte"):
        read_atis_bin(REAL / name, (34, 34))
    with pytest.raises(DataError, match=f"{name} is truncated or of another format: at byte 0"):
        read_dvs128_aedat2(REAL / name)
