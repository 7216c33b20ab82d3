"""Files of N-MNIST and N-Caltech101, whole, truncated and foreign."""

import io
import re

import numpy as np
import pytest

from qsnn_plugins.data.atis import read_atis_bin
from qsnn_plugins.data.frames import EVENT_DTYPE
from qsnn_plugins.errors import DataError

from .event_files import REAL, atis, needs_nmnist, needs_real, nmnist_files, same_events

SAMPLES = [("nmnist_sample.bin", (34, 34)), ("ncaltech101_faces_easy_0001.bin", (180, 240))]


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


@needs_real
@pytest.mark.parametrize(("name", "sensor"), SAMPLES)
def test_real_recordings_of_three_saccades(name, sensor):
    events = read_atis_bin(REAL / name, sensor)
    assert len(events) == (REAL / name).stat().st_size // 5
    assert (np.diff(events["t"]) >= 0).all()
    assert events["t"][-1] == pytest.approx(3e5, rel=0.1)
    assert 0.3 < events["p"].mean() < 0.7


@needs_real
def test_real_recordings_of_other_formats_are_refused():
    for name in ("davis_sample.aedat4", "ncars_sample.dat"):
        with pytest.raises(DataError, match=f"{name} is truncated or of another format: at byte"):
            read_atis_bin(REAL / name, (34, 34))


@pytest.fixture(scope="module")
def tonic_read():
    tonic_io = pytest.importorskip("tonic.io", reason="tonic, the oracle, is not installed")
    return lambda path: tonic_io.read_mnist_file(
        io.BytesIO(path.read_bytes()), EVENT_DTYPE, is_stream=True
    )


@needs_real
@pytest.mark.parametrize(("name", "sensor"), SAMPLES)
def test_real_recordings_are_what_tonic_reads(name, sensor, tonic_read):
    same_events(read_atis_bin(REAL / name, sensor), tonic_read(REAL / name))


@needs_nmnist
def test_nmnist_is_what_tonic_reads(tmp_path, tonic_read):
    files = nmnist_files(tmp_path, every=20)
    assert len(files) == 55
    for path in files:
        same_events(read_atis_bin(path, (34, 34)), tonic_read(path))


def test_overflows_are_what_tonic_reads(write, tonic_read):
    rng = np.random.default_rng(0)
    x, y, t = rng.integers(0, 34, 60), rng.integers(0, 34, 60), np.sort(rng.integers(0, 8_192, 60))
    y[[0, 20, 21, 59]] = 240
    p = rng.integers(0, 2, 60)
    path = write(atis(*np.stack([x, y, t, p], axis=1).tolist()))
    same_events(read_atis_bin(path, (34, 34)), tonic_read(path))
