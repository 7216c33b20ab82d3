"""The one rule of time that all readers of event files share."""

import logging

import numpy as np
import pytest

from qsnn_plugins.data import event_file
from qsnn_plugins.data.aedat import read_aedat3, read_dvs128_aedat2
from qsnn_plugins.data.atis import read_atis_bin
from qsnn_plugins.data.event_file import in_order
from qsnn_plugins.data.frames import EVENT_DTYPE
from qsnn_plugins.data.prophesee import DatFile, read_dat
from qsnn_plugins.errors import DataError

from .event_files import atis, dat


def events(times):
    found = np.zeros(len(times), dtype=EVENT_DTYPE)
    found["x"], found["t"] = np.arange(len(times)), times
    return found


def times(recorded, path="a.dat", **options):
    return in_order(path, events(recorded), **options)["t"].tolist()


def test_what_is_in_order_stays_as_it_is():
    for recorded in ([], [5], [5, 5, 9]):
        assert times(recorded) == times(recorded, wraps=True) == recorded


def test_equal_times_keep_their_order():
    assert in_order("a.dat", events([3, 5, 4, 5, 4]))["x"].tolist() == [0, 2, 4, 1, 3]


def test_a_large_step_back_is_a_new_turn_of_the_clock():
    turn = 2**32
    assert times([turn - 9, 4, 70], wraps=True) == [turn - 9, turn + 4, turn + 70]
    assert times([2**31 + 2, 1], wraps=True) == [2**31 + 2, turn + 1]
    twice = [turn - 1, 2**31 - 2, turn - 3, 1]
    assert times(twice, wraps=True) == [turn - 1, turn + 2**31 - 2, 2 * turn - 3, 2 * turn + 1]


def test_a_step_back_across_the_new_turn_is_no_second_one():
    turn = 2**32
    assert times([turn - 9, 4, turn - 2, 6], wraps=True) == [turn - 9, turn - 2, turn + 4, turn + 6]


@pytest.mark.parametrize("wraps", [False, True])
def test_late_events_are_sorted_counted_and_logged_once(wraps, caplog, monkeypatch):
    monkeypatch.setattr(event_file, "_logged", set())
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert times([1, 9, 4, 5, 12, 11], wraps=wraps) == [1, 4, 5, 9, 11, 12]
        times([2, 1], path="b.dat", wraps=wraps)
    assert [record.getMessage() for record in caplog.records] == [
        "a.dat: 3 events were late, by 5 µs at most",
        "b.dat: 1 events were late, by 1 µs at most",
    ]


ABSURD = 500_000_000


@pytest.mark.parametrize(
    ("recorded", "odd"),
    [
        ([100, 200, ABSURD, 300, 400], 2),
        ([ABSURD, 2 * ABSURD, 100, 2 * ABSURD + 9], 2),
        ([ABSURD, 100, 200], 0),
        ([ABSURD, 100, ABSURD + 1], 1),
        ([100, ABSURD, 200], 1),
        ([ABSURD, ABSURD + 1, 7], 2),
        ([100, 200, 4_000_000_000, 300], 2),
    ],
)
def test_one_absurd_time_is_named(recorded, odd):
    for wraps in (False, True):
        said = rf"^a\.dat has an impossible time: event {1000 + odd} is at {recorded[odd]} µs"
        with pytest.raises(DataError, match=said):
            times(recorded, wraps=wraps, first=1000)


def test_ten_milliseconds_are_late_and_more_are_impossible():
    assert times([10_000, 0, 20_000]) == [0, 10_000, 20_000]
    with pytest.raises(
        DataError, match=r"event 1 is at 0 µs, the events beside it at 10001 µs and"
    ):
        times([10_001, 0, 20_000])
    with pytest.raises(DataError, match=r"event 2 is at 8000 µs"):
        times([20_000, 14_000, 8_000, 30_000])  # each step back is shorter


@pytest.mark.parametrize(
    ("recorded", "odd"),
    [
        ([100, 200, 300, ABSURD], 3),
        ([100, 200, 300, 2**20 + 400], 3),
        ([100, ABSURD, ABSURD + 9, ABSURD + 12], 0),
        ([ABSURD + 300, 100, 200, 300], 0),
        ([300, 290, 400, 30_000], 3),
        ([20, 10, ABSURD, ABSURD + 9, ABSURD + 30_000_000], None),
        ([0, 10_000, 20_000], None),
        ([0, ABSURD], None),
    ],
)
def test_an_absurd_time_at_either_end_is_named_too(recorded, odd):
    for wraps in (False, True):
        if odd is None:
            assert times(recorded, wraps=wraps) == sorted(recorded)
        else:
            with pytest.raises(DataError, match=f"event {odd} is at {recorded[odd]} µs"):
                times(recorded, wraps=wraps)


def test_the_ends_of_a_part_say_nothing():
    assert times([100, 200, 300, ABSURD], whole=False) == [100, 200, 300, ABSURD]


def test_half_a_period_forward_is_impossible():
    assert times([1, 2**31]) == [1, 2**31]
    with pytest.raises(DataError, match=f"event 1 is at {2**31 + 1} µs"):
        times([1, 2**31 + 1])
    with pytest.raises(DataError, match=r"event 0 is at 1 µs"):
        times([1, 2**31 + 1, 2**31 + 2])
    with pytest.raises(DataError, match=r"event 1 is at -2 µs"):
        times([1, -2])


COUNT = 60
SPACED = [5_000_000 + 1_000 * n for n in range(COUNT)]  # 60 ms


def write(kind, path, recorded):
    """Write events at these times, and return what reads them."""
    if kind == "bin":
        path.write_bytes(atis(*((1, 2, t, 1) for t in recorded)))
        return lambda: read_atis_bin(path, (34, 34))
    if kind == "aedat2":
        words = np.array([(0, t) for t in recorded], dtype=">u4")
        path.write_bytes(b"#!AER-DAT2.0\r\n" + words.tobytes())
        return lambda: read_dvs128_aedat2(path)
    if kind == "aedat3":
        words = np.array([(3, t) for t in recorded], dtype="<u4")
        counts = np.array([8, 4, 0, *[len(recorded)] * 3], dtype="<u4")
        path.write_bytes(b"#!AER-DAT3.1\r\n\1\0\0\0" + counts.tobytes() + words.tobytes())
        return lambda: read_aedat3(path, (128, 128))
    path.write_bytes(dat(*((1, 2, t, 1) for t in recorded)))
    return lambda: read_dat(path, (100, 120))


@pytest.mark.parametrize("kind", ["dat", "bin", "aedat2", "aedat3"])
@pytest.mark.parametrize("event", [0, 1, 30, COUNT - 2, COUNT - 1])
def test_one_flipped_bit_of_a_time_names_its_event_in_each_reader(kind, event, tmp_path):
    for bit in range(17, 23 if kind == "bin" else 32):
        recorded = SPACED.copy()
        recorded[event] ^= 1 << bit
        read = write(kind, tmp_path / f"{bit}_td.dat", recorded)
        with pytest.raises(DataError, match=rf"event {event} is at {recorded[event]} µs"):
            read()
        if kind == "dat" and event in (0, COUNT - 1):
            with pytest.raises(DataError, match=rf"event {event} is at"):
                DatFile(tmp_path / f"{bit}_td.dat")


LATE = [1_000 * n for n in range(100)]
LATE[57] = LATE[58] + 1  # 100 events 1 ms apart, one of them 1 µs after its successor


@pytest.mark.parametrize("kind", ["dat", "bin", "aedat2", "aedat3"])
def test_each_reader_sorts_a_late_event(kind, tmp_path):
    path = tmp_path / "obj_000001_td.dat"
    assert write(kind, path, LATE)()["t"].tolist() == sorted(LATE)
    if kind == "dat":
        assert DatFile(path).between(0, 100)["t"].tolist() == sorted(LATE)
