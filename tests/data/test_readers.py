"""Event files, whole, truncated and foreign."""

import re
from pathlib import Path

import numpy as np
import pytest

from qsnn_plugins.data.aedat import read_dvs128_aedat2
from qsnn_plugins.data.frames import EVENT_DTYPE
from qsnn_plugins.data.readers import read_atis_bin, read_dat
from qsnn_plugins.errors import DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "event_files"


def dat(*events, header=b"% Data file\n% Version 2\n", kind=b"\0\x08"):
    """Return the bytes of (x, y, t, p) in a .dat file of Prophesee."""
    words = [(t, p << 28 | y << 14 | x) for x, y, t, p in events]
    return header + kind + np.array(words, dtype="<u4").tobytes()


def atis(*events):
    """Return the bytes of (x, y, t, p) in the format of N-MNIST."""
    return b"".join(
        bytes([x, y, p << 7 | t >> 16, t >> 8 & 0xFF, t & 0xFF]) for x, y, t, p in events
    )


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


def test_dat_events(write):
    path = write(dat((119, 0, 3, 0), (0, 99, 2**31, 1)), "obj_000001_td.dat")
    events = read_dat(path, (100, 120))
    assert events.dtype == EVENT_DTYPE
    assert events.tolist() == [(119, 0, 3, False), (0, 99, 2**31, True)]


@pytest.mark.parametrize(
    ("raw", "offset", "what"),
    [
        (b"", 0, "the file is empty"),
        (atis((1, 1, 1, 1)), 0, "the header of a .dat file"),
        (b"% and so", 0, "a line of the header does not end"),
        (dat((1, 1, 1, 1), kind=b"\0\x10"), 24, "type and size of the events"),
        (dat(), 26, "without an event"),
        (dat((1, 1, 1, 1), (1, 1, 2, 1))[:-3], 34, "an event of 8 bytes has only 5"),
        (dat((1, 1, 1, 1), (120, 1, 2, 1)), 34, "x=120, y=1: outside the sensor of 100 x 120"),
        (dat((1, 100, 1, 1), (1, 1, 2, 1)), 26, "x=1, y=100: outside the sensor of 100 x 120"),
    ],
)
def test_broken_dat_files_are_named(write, raw, offset, what):
    path = write(raw, "obj_000001_td.dat")
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))} .*byte {offset}, .*{what}"):
        read_dat(path, (100, 120))


@pytest.mark.skipif(not REAL.exists(), reason=f"real recordings are not at {REAL}")
def test_a_real_recording_of_cars_decodes_to_what_it_must():
    golden = np.load(REAL / "ncars_obj_004397_td.npy", allow_pickle=False)
    events = read_dat(REAL / "ncars_obj_004397_td.dat", (100, 120))
    for field in "xyt":
        np.testing.assert_array_equal(events[field], golden[field])
    np.testing.assert_array_equal(events["p"], golden["p"] != 0)
    assert len(read_dat(REAL / "ncars_sample.dat", (100, 120))) == 2009


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
