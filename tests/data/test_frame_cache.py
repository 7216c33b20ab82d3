"""The cache of frames: what is in it, when it is used, and what may go wrong."""

import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from qsnn_plugins.data.frame_cache import EventReader, Recording, cached_frames
from qsnn_plugins.data.frames import EVENT_DTYPE, FrameBinning
from qsnn_plugins.errors import DataError

SENSOR = (5, 7)


def read(path):
    """Read a file that holds the seed of its events."""
    text = path.read_text()
    if not text.isdigit():
        raise DataError(f"{path} is not a number")
    rng = np.random.default_rng(int(text))
    events = np.zeros(200, dtype=EVENT_DTYPE)
    events["x"], events["y"] = rng.integers(0, 7, 200), rng.integers(0, 5, 200)
    events["t"], events["p"] = np.sort(rng.integers(0, 999, 200)), rng.integers(0, 2, 200)
    return events


READER = EventReader("seeds", SENSOR, read)
COUNTED = FrameBinning(3, binary=False)


@pytest.fixture
def recordings(tmp_path):
    (tmp_path / "files").mkdir()
    paths = [tmp_path / "files" / f"{index}" for index in range(6)]
    for index, path in enumerate(paths):
        path.write_text(str(index))
    return [Recording(path, index % 4) for index, path in enumerate(paths)]


@pytest.fixture
def parsed(monkeypatch):
    """Return the list of files that were parsed."""
    names = []
    frames = EventReader.frames

    def spy(self, recording, binning):
        names.append(recording.path.name)
        return frames(self, recording, binning)

    monkeypatch.setattr(EventReader, "frames", spy)
    return names


def items(frames):
    return [frames[index] for index in range(len(frames))]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("size", [None, (3, 3)])
def test_items_survive_the_disk(tmp_path, recordings, parsed, binary, size):
    binning = FrameBinning(3, size, binary=binary)
    first = cached_frames(recordings, READER, binning, tmp_path / "cache", split="train")
    assert len(parsed) == 6
    second = cached_frames(recordings, READER, binning, tmp_path / "cache", split="train")
    assert len(parsed) == 6  # nothing was parsed again
    for frames in (first, second, pickle.loads(pickle.dumps(first))):
        for index, recording in enumerate(recordings):
            item, label = frames[index]
            np.testing.assert_array_equal(item, binning(read(recording.path), SENSOR))
            assert label == recording.label
    assert len(first) == 6


def test_what_a_killed_process_left_of_a_cache_is_removed(tmp_path, recordings):
    left = tmp_path / "cache" / f".seeds-train-0.frames.{'0' * 32}.tmp"
    left.parent.mkdir()
    for _ in ("written", "read"):
        left.touch()
        os.utime(left, (0, 0))
        frames = cached_frames(recordings, READER, COUNTED, left.parent, split="train")
        assert [*left.parent.iterdir()] == [frames.path]


def test_binary_frames_are_packed(tmp_path, recordings):
    binning = FrameBinning(10, size=32)
    frames = cached_frames(recordings, READER, binning, tmp_path, split="train")
    assert frames.path.stat().st_size < 6 * 10 * 2 * 32 * 32 / 8 + 1024


def test_a_pickled_split_does_not_carry_its_frames(tmp_path, recordings):
    binning = FrameBinning(10, size=64, binary=False)
    frames = cached_frames(recordings, READER, binning, tmp_path, split="train")
    assert len(pickle.dumps(frames)) < 5_000 < frames.path.stat().st_size


@pytest.mark.parametrize(
    "change",
    [
        {"binning": FrameBinning(4, binary=False)},
        {"binning": FrameBinning(3, size=4, binary=False)},
        {"binning": FrameBinning(3, bin_by="count", binary=False)},
        {"binning": FrameBinning(3)},
        {"reader": replace(READER, version=2)},
        {"reader": replace(READER, sensor=(5, 8))},
    ],
)
def test_every_setting_is_part_of_the_name(tmp_path, recordings, parsed, change):
    settings = {"reader": READER, "binning": COUNTED, "folder": tmp_path, "split": "train"}
    cached_frames(recordings, **settings)
    cached_frames(recordings, **settings | change)
    assert len(parsed) == 12


def test_changed_files_are_parsed_again(tmp_path, recordings, parsed):
    ask = partial(cached_frames, reader=READER, binning=COUNTED, folder=tmp_path, split="train")
    ask(recordings)
    recordings[2].path.write_text("7")  # the same length, another time of change
    os.utime(recordings[2].path, ns=(1, 1))
    changed, _ = ask(recordings)[2]
    np.testing.assert_array_equal(changed, COUNTED(read(recordings[2].path), SENSOR))
    ask(recordings[:-1])
    ask([*recordings[:-1], replace(recordings[-1], label=0)])
    assert len(parsed) == 6 + 6 + 5 + 6


def test_a_broken_recording_raises_and_leaves_nothing(tmp_path, recordings):
    recordings[3].path.write_text("x")
    folder = tmp_path / "cache"
    with pytest.raises(DataError, match="files/3 is not a number"):
        cached_frames(recordings, READER, COUNTED, folder, split="train")
    assert list(folder.iterdir()) == []


def test_a_broken_recording_can_be_left_out(tmp_path, recordings):
    recordings[3].path.write_text("x")
    ask = partial(cached_frames, recordings, READER, COUNTED, tmp_path / "cache", split="train")
    for frames in (ask(allow_broken=True), ask(allow_broken=True)):  # parsed, then cached
        assert frames.broken.tolist() == [3]
        assert frames.labels.tolist() == [0, 1, 2, 0, 1]
        item, label = frames[3]  # the one after the broken one
        assert label == 0
        np.testing.assert_array_equal(item, COUNTED(read(recordings[4].path), SENSOR))
    with pytest.raises(DataError, match="files/3 is not a number"):
        ask()  # a cache that others filled does not hide it


def test_a_recording_may_be_a_part_of_its_file(tmp_path, recordings):
    """Its end is excluded, and two parts of a file have caches of their own."""
    path = recordings[0].path
    events = read(path)
    parts = [Recording(path, 0, (100, 400)), Recording(path, 1, (400, 900))]
    frames = cached_frames(parts, READER, COUNTED, tmp_path, split="train")
    for part, (item, _) in zip(parts, items(frames), strict=True):
        start, end = part.span
        inside = (events["t"] >= start) & (events["t"] < end)
        np.testing.assert_array_equal(item, COUNTED(events[inside], SENSOR))
    shifted = [parts[0], replace(parts[1], span=(401, 900))]
    assert cached_frames(shifted, READER, COUNTED, tmp_path, split="train").path != frames.path


def test_a_part_without_events_is_broken(tmp_path, recordings):
    empty = replace(recordings[2], span=(5_000, 6_000))
    with pytest.raises(DataError, match=r"files/2 has no event from 5000 to 6000 µs"):
        cached_frames([empty], READER, COUNTED, tmp_path, split="train")


def test_all_broken_raises(tmp_path, recordings):
    for recording in recordings:
        recording.path.write_text("x")
    with pytest.raises(
        DataError, match=r"none of 6 recordings can be read: .*files/0 is not a number"
    ):
        cached_frames(recordings, READER, COUNTED, tmp_path, split="train", allow_broken=True)


def test_an_event_outside_the_sensor_names_its_file(tmp_path, recordings):
    small = replace(READER, sensor=(2, 2))
    with pytest.raises(DataError, match=r"files/0: event .* outside the sensor of 2 x 2"):
        cached_frames(recordings, small, COUNTED, tmp_path, split="train")


@pytest.mark.parametrize("length", [0, 10, 200, -1])
def test_a_damaged_cache_is_made_anew_and_says_so(tmp_path, recordings, length, caplog):
    ask = partial(cached_frames, recordings, READER, COUNTED, tmp_path / "cache", split="train")
    path = ask().path
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:length])
    item, _ = ask()[5]
    np.testing.assert_array_equal(item, COUNTED(read(recordings[5].path), SENSOR))
    assert path.read_bytes() == whole
    assert "is damaged and is created again" in caplog.text


def test_an_unwritable_folder_is_named(tmp_path, recordings):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(DataError, match=r"taken.* cannot be written .*cache_dir$"):
        cached_frames(recordings, READER, COUNTED, tmp_path / "taken", split="train")


def test_an_interrupted_run_leaves_nothing(tmp_path, recordings):
    def interrupt(path):
        if path.name == "4":
            raise KeyboardInterrupt
        return read(path)

    with pytest.raises(KeyboardInterrupt):
        cached_frames(
            recordings, replace(READER, read=interrupt), COUNTED, tmp_path / "cache", split="train"
        )
    assert list((tmp_path / "cache").iterdir()) == []


def _sum(recordings, folder):
    frames = cached_frames(recordings, READER, COUNTED, folder, split="train")
    return sum(int(item.sum()) for item, _ in items(frames))


def test_two_processes_at_once(tmp_path, recordings):
    with ProcessPoolExecutor(max_workers=4) as pool:
        asked = [pool.submit(_sum, recordings, tmp_path / "cache") for _ in range(12)]
        assert {answer.result() for answer in asked} == {6 * 200}
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("binary", [True, False])
def test_no_flipped_bit_is_believed(tmp_path, recordings, binary):
    """Of frames, labels or the checksum itself."""
    ask = partial(
        cached_frames, recordings, READER, FrameBinning(3, size=(2, 3), binary=binary), tmp_path
    )
    path = ask(split="train").path
    whole = path.read_bytes()
    for byte in [*range(0, len(whole), 7), *range(len(whole) - 4, len(whole))]:
        damaged = bytearray(whole)
        damaged[byte] ^= 1 << byte % 8
        path.write_bytes(damaged)
        ask(split="train")
        assert path.read_bytes() == whole


def test_a_foreign_cache_is_made_anew(tmp_path, recordings, caplog):
    ask = partial(cached_frames, recordings, READER, COUNTED, tmp_path / "cache")
    other, path = (ask(split=split).path for split in ("test", "train"))
    whole = path.read_bytes()
    for foreign in (other.read_bytes(), b"\x93NUMPY\x01\x00\x40\x00{((((", bytes(len(whole))):
        path.write_bytes(foreign)
        ask(split="train")
        assert path.read_bytes() == whole
    path.unlink()
    assert caplog.text.count("is damaged and is created again") == 3


def test_a_mended_recording_is_seen_although_size_and_time_stay(tmp_path, recordings):
    path = recordings[3].path
    os.utime(path, ns=(1, 1))
    path.write_text("x")
    os.utime(path, ns=(1, 1))
    ask = partial(cached_frames, recordings, READER, COUNTED, tmp_path / "cache", split="train")
    assert len(ask(allow_broken=True)) == 5
    path.write_text("3")
    os.utime(path, ns=(1, 1))
    for allow_broken in (True, False):
        frames = ask(allow_broken=allow_broken)
        assert (len(frames), len(frames.broken)) == (6, 0)
        np.testing.assert_array_equal(frames[3][0], COUNTED(read(path), SENSOR))


def test_an_absent_recording_is_a_broken_one(tmp_path, recordings):
    recordings[1].path.unlink()
    recordings[4].path.unlink()
    recordings[4].path.symlink_to(tmp_path / "nowhere")
    recordings[5].path.unlink()
    recordings[5].path.mkdir()
    ask = partial(cached_frames, recordings, READER, COUNTED, tmp_path / "cache", split="train")
    with pytest.raises(DataError, match=r"files/1 cannot be read: .*No such file"):
        ask()
    assert ask(allow_broken=True).broken.tolist() == [1, 4, 5]
    recordings[1].path.write_text("1")  # it is there by now
    assert ask(allow_broken=True).broken.tolist() == [4, 5]


def test_no_memory_for_a_recording_is_said_with_its_name(tmp_path, recordings):
    def refuse(path):
        raise MemoryError("Unable to allocate 9 TiB")

    with pytest.raises(DataError, match=r"files/0 cannot be read: Unable to allocate 9 TiB"):
        cached_frames(recordings, replace(READER, read=refuse), COUNTED, tmp_path, split="train")
