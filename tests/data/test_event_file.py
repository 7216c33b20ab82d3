"""The one rule of time that all readers of event files share."""

import logging

import numpy as np
import pytest

from qsnn_plugins.data import event_file
from qsnn_plugins.data.aedat import read_dvs128_aedat2
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


LATE = [1_000 * n for n in range(100)]
LATE[57] = LATE[58] + 1  # 100 events 1 ms apart, one of them 1 µs after its successor


@pytest.mark.parametrize("kind", ["dat", "mapped dat", "bin", "aedat2"])
def test_each_reader_sorts_a_late_event(kind, tmp_path):
    path = tmp_path / "obj_000001_td.dat"
    if kind == "bin":
        path.write_bytes(atis(*((1, 2, t, 1) for t in LATE)))
        found = read_atis_bin(path, (34, 34))
    elif kind == "aedat2":
        words = np.array([(0, t) for t in LATE], dtype=">u4")
        path.write_bytes(b"#!AER-DAT2.0\r\n" + words.tobytes())
        found = read_dvs128_aedat2(path)
    else:
        path.write_bytes(dat(*((1, 2, t, 1) for t in LATE)))
        found = read_dat(path, (100, 120)) if kind == "dat" else DatFile(path).between(0, 100)
    assert found["t"].tolist() == sorted(LATE)
