"""Prophesee's files: written here byte by byte, read or refused with one clear error."""

import os
import re
import tracemalloc

import numpy as np
import pytest

from qsnn_plugins.data.frames import EVENT_DTYPE
from qsnn_plugins.data.prophesee import DatFile, read_boxes, read_dat
from qsnn_plugins.errors import DataError
from tests.data.gen1_files import HEADER, NEWER, OLDER, words, write_boxes, write_dat

from .event_files import REAL, atis, dat, needs_real, same_events

# the last time needs all 32 bits; no step is longer than half of what they count
TIMES = [10, 10, 2_100_000_000, 4_000_000_000]
PLACES = [(3, 200, 1), (303, 239, 0), (4, 4, 0), (0, 0, 1)]
EVENTS = [(x, y, t, p) for t, (x, y, p) in zip(TIMES, PLACES, strict=True)]


def test_events_are_read_bit_by_bit(tmp_path):
    recording = DatFile(write_dat(tmp_path / "a_td.dat", EVENTS))
    assert len(recording) == 4
    assert recording.end == 4_000_000_000
    assert recording.between(0, 4).tolist() == [(x, y, t, bool(p)) for x, y, t, p in EVENTS]


@pytest.mark.parametrize("kind", [0x00, 0x0C])
def test_both_numbers_of_the_event_type_are_known(tmp_path, kind):
    path = tmp_path / "a_td.dat"
    path.write_bytes(HEADER + bytes([kind, 8]) + words(EVENTS))
    assert len(DatFile(path)) == 4


def test_a_file_without_header_is_events_alone(tmp_path):
    path = tmp_path / "a_td.dat"
    path.write_bytes(words(EVENTS))
    assert DatFile(path).between(1, 2).tolist() == [(303, 239, 10, False)]


def test_the_first_event_of_a_time_is_found(tmp_path):
    times = [5, 5, 7, 9, 9, 9, 12]
    recording = DatFile(write_dat(tmp_path / "a_td.dat", [(0, 0, t, 0) for t in times]))
    for time in range(15):
        assert recording.first_from(time) == int(np.searchsorted(times, time, side="left"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (HEADER + bytes([0, 8]) + words(EVENTS)[:-3], "an event of 8 bytes has only 5"),
        (HEADER + bytes([0]), "the type and the size of the events are not there"),
        (HEADER + bytes([14, 16]) + words(EVENTS), "events of type 14 and 16 bytes"),
        (b"% Height 240", "a line of the header does not end"),
    ],
)
def test_what_is_truncated_or_foreign_is_refused(tmp_path, content, told):
    path = tmp_path / "a_td.dat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=told) as caught:
        DatFile(path)
    assert str(path) in str(caught.value)


def test_times_out_of_order_are_sorted_or_refused_where_they_are_read(tmp_path):
    times = [1, 2, 3, 9, 4, 10, 90_000, 11, 12, 13]
    recording = DatFile(write_dat(tmp_path / "a_td.dat", [(0, 0, t, 0) for t in times]))
    assert recording.between(2, 6)["t"].tolist() == [3, 4, 9, 10]
    with pytest.raises(DataError, match="event 6 is at 90000 µs"):
        recording.between(4, 8)


def test_the_clock_of_a_long_recording_wraps(tmp_path):
    turn = 2**32
    times = [turn - 9, turn - 5, turn - 2, 0, 4, 900]
    recording = DatFile(write_dat(tmp_path / "a_td.dat", [(0, 0, t, 0) for t in times]))
    expected = [*times[:3], turn, turn + 4, turn + 900]
    for start in range(6):
        assert recording.between(start, 6)["t"].tolist() == expected[start:]
    assert [recording.first_from(time) for time in expected] == list(range(6))
    assert (recording.first_from(turn + 1), recording.end) == (4, turn + 900)


def test_an_empty_recording_has_no_end(tmp_path):
    recording = DatFile(write_dat(tmp_path / "a_td.dat", []))
    assert (len(recording), recording.end, recording.first_from(9)) == (0, -1, 0)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        DatFile(tmp_path / "b_td.dat")


def test_a_recording_of_5_gb_costs_no_5_gb(tmp_path):
    """The file has a hole of 5 GB, whose events are at time 0, and four events behind it."""
    path = write_dat(tmp_path / "long_td.dat", [])
    start = path.stat().st_size
    os.truncate(path, start + 5_000_000_000)
    with path.open("ab") as file:
        file.write(words(EVENTS))
    tracemalloc.start()
    recording = DatFile(path)
    first = recording.first_from(10)
    events = recording.between(first, first + 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(recording) == 5_000_000_000 // 8 + 4
    assert events["t"].tolist() == TIMES
    assert peak < 1_000_000


def test_dat_events(tmp_path):
    path = tmp_path / "obj_000001_td.dat"
    path.write_bytes(dat((119, 0, 3, 0), (0, 99, 2**31, 1)))
    events = read_dat(path, (100, 120))
    assert events.dtype == EVENT_DTYPE
    assert events.tolist() == [(119, 0, 3, False), (0, 99, 2**31, True)]


@pytest.mark.parametrize(
    ("raw", "offset", "what"),
    [
        (b"", 0, "the file is empty"),
        (atis((1, 1, 1, 1)), 0, "the header of a .dat file"),
        (b"% and so", 0, "a line of the header does not end"),
        (dat((1, 1, 1, 1), kind=b"\0\x10"), 24, "events of type 0 and 16 bytes"),
        (dat(), 26, "without an event"),
        (dat((1, 1, 1, 1), (1, 1, 2, 1))[:-3], 34, "an event of 8 bytes has only 5"),
        (dat((1, 1, 1, 1), (120, 1, 2, 1)), 34, "x=120, y=1: outside the sensor of 100 x 120"),
        (dat((1, 100, 1, 1), (1, 1, 2, 1)), 26, "x=1, y=100: outside the sensor of 100 x 120"),
    ],
)
def test_broken_dat_files_are_named(tmp_path, raw, offset, what):
    path = tmp_path / "obj_000001_td.dat"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))} .*byte {offset}, .*{what}"):
        read_dat(path, (100, 120))


@needs_real
def test_a_real_recording_of_cars_decodes_to_what_it_must():
    golden = np.load(REAL / "ncars_obj_004397_td.npy", allow_pickle=False)
    same_events(read_dat(REAL / "ncars_obj_004397_td.dat", (100, 120)), golden)
    assert len(read_dat(REAL / "ncars_sample.dat", (100, 120))) == 2009


@needs_real
def test_real_recordings_of_cars_are_what_expelliarmus_reads():
    expelliarmus = pytest.importorskip("expelliarmus", reason="expelliarmus is not installed")
    for name in ("ncars_obj_004397_td.dat", "ncars_sample.dat"):
        theirs = expelliarmus.Wizard(encoding="dat").read(REAL / name)
        same_events(read_dat(REAL / name, (100, 120)), theirs)
        same_events(DatFile(REAL / name).between(0, len(theirs)), theirs)


@pytest.mark.parametrize("dialect", [OLDER, NEWER])
def test_boxes_are_read_in_both_dialects(tmp_path, dialect):
    path = write_boxes(
        tmp_path / "a_bbox.npy", [(70, 1, 2, 30, 20, 1), (80, 3, 4, 50, 60, 0)], dialect
    )
    assert read_boxes(path).tolist() == [(70, 1, 2, 30, 20, 1), (80, 3, 4, 50, 60, 0)]


def test_no_boxes_are_allowed(tmp_path):
    assert len(read_boxes(write_boxes(tmp_path / "a_bbox.npy", [], OLDER))) == 0


def test_boxes_that_cannot_be_read_are_refused(tmp_path):
    path = tmp_path / "a_bbox.npy"
    np.save(path, np.zeros(3, dtype=[("ts", "<u8"), ("x", "<f4")]))
    with pytest.raises(DataError, match="no list of boxes with a field 'y'"):
        read_boxes(path)
    path.write_bytes(
        write_boxes(tmp_path / "b_bbox.npy", [(70, 1, 2, 30, 20, 1)]).read_bytes()[:-9]
    )
    with pytest.raises(DataError, match="cannot be read as numpy's array"):
        read_boxes(path)
    write_boxes(path, [(70, 1, 2, 30, 20, 1), (70, 1, float("nan"), 30, 20, 1)])
    with pytest.raises(DataError, match="box 1 has y=nan"):
        read_boxes(path)


@pytest.mark.parametrize(("name", "value"), [("ts", 0.07), ("ts", np.nan), ("class_id", 0.5)])
def test_a_time_or_class_that_is_no_integer_is_named(tmp_path, name, value):
    """Times in seconds would all be 0."""
    boxes = np.ones(2, dtype=[(each, "<f8") for each in ("ts", *"xywh", "class_id")])
    boxes[name][1] = value
    np.save(tmp_path / "a_bbox.npy", boxes)
    with pytest.raises(DataError, match=rf"box 1 has {'t' if name == 'ts' else name}={value}$"):
        read_boxes(tmp_path / "a_bbox.npy")


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "a_bbox.npy"
    np.save(path, np.array([{"ts": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read as numpy's array"):
        read_boxes(path)


def drive(tmp_path, times):
    """A recording whose column numbers the events, as far as it can."""
    return DatFile(write_dat(tmp_path / "a_td.dat", [(n, 0, t, 0) for n, t in enumerate(times)]))


def test_a_window_holds_the_late_events_and_no_others(tmp_path):
    rng = np.random.default_rng(0)
    times = 200_000 + np.arange(300) * 700
    times = (times + rng.integers(-4_900, 4_900, 300)).tolist()  # 9.8 ms late at most
    recording = drive(tmp_path, times)
    for begin in range(190_000, 420_000, 13_337):
        found = recording.window(begin, begin + 20_000)
        expected = sorted((t, n) for n, t in enumerate(times) if begin <= t < begin + 20_000)
        assert list(zip(found["t"].tolist(), found["x"].tolist(), strict=True)) == expected
        last = recording.last(7, begin)["t"].tolist()
        assert last == sorted(t for t in times if t < begin)[-7:]
    for count in (1, 7, 20, 299, 301):  # after the end no other events make up for late ones
        assert recording.last(count, 430_000)["t"].tolist() == sorted(times)[-count:]


def test_no_window_is_silent_about_one_bad_time(tmp_path):
    """A search by bisection that met it would find nothing, or the wrong half."""
    times = [1_000_000 + 2_000 * n for n in range(64)]
    named = 0
    for event in range(64):
        for bit in (14, 17, 21, 27, 31):
            damaged = times.copy()
            damaged[event] ^= 1 << bit
            try:
                recording = drive(tmp_path, damaged)
                found = recording.window(1_040_000, 1_080_000)["x"].tolist()
            except DataError as error:
                assert f"event {event} is at {damaged[event]} µs" in str(error)  # noqa: PT017
                named += 1
            else:
                true = [n for n in range(20, 40) if n != event]
                moved = [event] * (1_040_000 <= damaged[event] < 1_080_000)
                assert sorted(found) == sorted(true + moved)
    assert named > 100


def test_one_bad_time_does_not_hide_that_the_clock_wraps(tmp_path):
    turn = 2**32
    times = [turn - 9_000, turn - 5_000, turn - 2_000, 1, 4_000, 9_000]
    for event in (0, 5):
        damaged = times.copy()
        damaged[event] ^= 1 << 31
        with pytest.raises(DataError, match=f"event {event} is at "):
            drive(tmp_path, damaged)


def bbox(header, body=b""):
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


FIELDS = [("ts", "<u8"), *((name, "<f4") for name in "xywh"), ("class_id", "u1")]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\3\4" + bytes(30),
        bbox("{'descr': [('ts', '<u8')], 'fortran_order': False, 'shape': (1,"),
        bbox("((((((((("),
        bbox("{'descr': '<u8', 'fortran_order': False}"),
        bbox("{'descr': [('ts', '<q99')], 'fortran_order': False, 'shape': (1,)}"),
        bbox(str({"descr": FIELDS, "fortran_order": False, "shape": (10**12,)}), bytes(25)),
        bbox(str({"descr": FIELDS, "fortran_order": False, "shape": (-1,)}), bytes(25)),
        bbox(str({"descr": FIELDS, "fortran_order": False, "shape": (10**30,)}), bytes(25)),
        bbox(str({"descr": "|V0", "fortran_order": False, "shape": (10**12,)})),
        bbox(str({"descr": [("ts", "U3"), *FIELDS[1:]], "fortran_order": False, "shape": (1,)}))
        + bytes(99),
        bbox(str({"descr": [*FIELDS[1:], ("ts", "<i8")], "fortran_order": False, "shape": (1,)}))
        + bytes(24)
        + b"\xff",
    ],
)
def test_damaged_boxes_are_one_sentence(tmp_path, content):
    path = tmp_path / "a_bbox.npy"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"a_bbox\.npy"):
        read_boxes(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
