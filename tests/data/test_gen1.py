"""Gen1, from files written here in its shape."""

import re

import numpy as np
import pytest
import torch

from qsnn_plugins.data import BoxFilter, Gen1
from qsnn_plugins.errors import ArgumentError, DataError
from tests.data.gen1_files import NEWER, OLDER, write_recording

# an event every 10 ms up to 3 s; its column says when
EVENTS = [(t // 10_000, 5, t, t // 10_000 % 2) for t in range(0, 3_000_000, 10_000)]
CAR, WALKER = (1_000_000, 20, 30, 60, 40, 0), (1_000_000, 100, 90, 15, 40, 1)


@pytest.fixture
def root(tmp_path):
    for split in ("train", "val", "test"):
        write_recording(tmp_path / split, "drive", EVENTS, [CAR, WALKER])
    return tmp_path


def build(root, **changes):
    return Gen1(str(root), **({"time_steps": 4, "batch_size": 2} | changes))


@pytest.mark.parametrize("dialect", [OLDER, NEWER])
def test_an_item_is_an_annotated_time(tmp_path, dialect):
    boxes = [CAR, (2_500_000, 1, 2, 30, 40, 0), WALKER]
    write_recording(tmp_path / "test", "drive", EVENTS, boxes, dialect)
    split = build(tmp_path).split("test")
    assert len(split) == 2
    frames, target = split[0]
    assert (frames.shape, frames.dtype) == ((4, 2, 240, 304), torch.uint8)
    assert target["boxes"].tolist() == [[20, 30, 80, 70], [100, 90, 115, 130]]
    assert target["labels"].tolist() == [0, 1]
    assert split[1][1]["boxes"].tolist() == [[1, 2, 31, 42]]
    assert split.name(1) == "drive at 2500000 µs"
    assert split[-1][1]["boxes"].tolist() == [[1, 2, 31, 42]]
    assert [int(target["image_id"]) for _, target in (split[-1], split[-2])] == [1, 0]


def test_a_window_of_time_ends_before_the_annotation(root):
    frames, _ = build(root, window=200_000).split("test")[0]
    columns = [step.nonzero()[:, 1].tolist() for step in frames.sum(1)]
    assert [sorted(c) for c in columns] == [
        list(range(80, 85)), list(range(85, 90)), list(range(90, 95)), list(range(95, 100)),
    ]  # fmt: skip
    assert frames[0, 0].sum() + frames[0, 1].sum() == 5
    assert frames[0, 1, 5, 81] == 1, "an odd column is ON"


def test_a_window_of_events_ends_before_the_annotation(root):
    frames, _ = build(root, window=8, window_by="count", bin_by="count").split("test")[0]
    columns = [sorted(step.nonzero()[:, 1].tolist()) for step in frames.sum(1)]
    assert columns == [[92, 93], [94, 95], [96, 97], [98, 99]]
    more, _ = build(root, window=10**6, window_by="count").split("test")[0]
    assert int(more.sum()) == 100, "no more than there are"


def test_counts_are_kept_where_asked_for(tmp_path):
    events = [(0, 0, t, 0) for t in (0, 300_000, 600_000)] + [(7, 9, 900_000, 1)] * 3
    events.append((0, 0, 1_200_000, 0))
    write_recording(tmp_path / "test", "drive", events, [CAR])
    counted, _ = build(tmp_path, binary=False).split("test")[0]
    marked, _ = build(tmp_path).split("test")[0]
    assert (int(counted.max()), int(marked.max())) == (3, 1)


def test_frames_and_boxes_are_resized_together(root):
    frames, target = build(root, size=(120, 152)).split("test")[0]
    assert frames.shape == (4, 2, 120, 152)
    assert target["boxes"].tolist() == [[10, 15, 40, 35], [50, 45, 57.5, 65]]


def test_a_box_is_cut_at_the_frame_and_small_ones_are_dropped(tmp_path):
    boxes = [
        (1_000_000, -20, -10, 60, 50, 0),  # cut to 40 x 40
        (1_000_000, 290, 200, 50, 90, 0),  # cut to 14 x 40
        (1_000_000, 297, 200, 50, 90, 0),  # cut to 7 pixels of width: dropped
        (1_000_000, 400, 10, 50, 50, 0),  # outside: dropped
        (1_000_000, 10, 10, 20, 20, 1),  # diagonal of 28: dropped
        (500_000, 10, 10, 60, 60, 0),  # too early: dropped, and its time with it
    ]
    write_recording(tmp_path / "test", "drive", EVENTS, boxes)
    split = build(tmp_path).split("test")
    assert len(split) == 1
    assert split[0][1]["boxes"].tolist() == [[0, 0, 40, 40], [290, 200, 304, 240]]
    everything = BoxFilter(skip=0, diagonal=0, side=0)
    assert [len(boxes) for _, boxes in build(tmp_path, filter=everything).split("test")._items] == [
        1,
        4,
    ]


def test_the_borders_of_the_filter_count():
    dtype = [("t", "<i8"), *((name, "<f4") for name in "xywh"), ("class_id", "<i8")]
    rows = [(500_000, 0, 0, 50, 50, 0), (500_001, 0, 0, 18, 24, 0), (500_001, 0, 0, 10, 28.29, 0)]
    kept = BoxFilter()(np.array(rows, dtype=dtype), (240, 304))
    assert kept["w"].tolist() == [18, 10], "later than 0.5 s, a diagonal of 30, a side of 10"


def test_a_recording_without_annotations_gives_no_items(root):
    write_recording(root / "test", "empty", EVENTS, [])
    assert len(build(root).split("test")) == 1


def test_each_split_is_its_folder(root):
    write_recording(root / "val", "other", EVENTS, [CAR])
    data = build(root)
    for loader, count in ((data.train_dataloader(), 1), (data.val_dataloader(), 2)):
        assert len(loader.dataset) == count
    frames, targets = next(iter(data.val_dataloader()))
    assert frames.shape == (2, 4, 2, 240, 304)
    assert [int(target["image_id"]) for target in targets] == [0, 1]


def broken(root, what):
    folder = root / "test"
    if what == "ends inside an event":
        path = folder / "drive_td.dat"
        path.write_bytes(path.read_bytes()[:-3])
    elif what == "ends before its annotations":
        write_recording(
            folder, "drive", [e for e in EVENTS if e[2] < 1_000_000], [(2_100_000, *CAR[1:])]
        )
    elif what == "has no events":
        write_recording(folder, "drive", [], [(2_100_000, *CAR[1:])])
    elif what == "has no recording":
        (folder / "drive_td.dat").unlink()
    elif what == "has another class":
        write_recording(folder, "drive", EVENTS, [(*CAR[:5], 4)])
    elif what == "has nothing that counts":
        write_recording(folder, "drive", EVENTS, [(1_000_000, 5, 5, 6, 6, 0)])


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("ends inside an event", "an event of 8 bytes has only 5"),
        (
            "ends before its annotations",
            "truncated: it ends at 990000 µs, and is annotated at 2100000",
        ),
        ("has no events", "truncated: it ends without an event"),
        ("has no recording", "has no recording: drive_td.dat is missing"),
        ("has another class", r"box 0 has class_id=4, and there are 0 \(car\), 1 \(pedestrian\)"),
        ("has nothing that counts", "none of the annotations in .*test passes"),
    ],
)
def test_what_is_broken_is_said_when_the_split_is_opened(root, what, told):
    broken(root, what)
    with pytest.raises(DataError, match=told):
        build(root).split("test")


def test_events_out_of_order_or_outside_are_said_with_the_file(tmp_path):
    times = [*range(0, 950_000, 50_000), 850_000, *range(950_000, 2_000_000, 50_000)]
    write_recording(tmp_path / "test", "backwards", [(0, 0, t, 1) for t in times], [CAR])
    with pytest.raises(DataError, match=r"backwards_td\.dat has an impossible time: event 19 "):
        build(tmp_path).split("test")[0]
    write_recording(tmp_path / "val", "wide", [(310, 0, 900_000, 1), *EVENTS[-1:]], [CAR])
    with pytest.raises(DataError, match=r"wide_td\.dat: event 0 at x=310, y=0 lies outside"):
        build(tmp_path).split("val")[0]


def test_a_missing_split_says_where_to_get_it(tmp_path):
    with pytest.raises(DataError, match=re.escape("-c recipes/overlays/scenes.yaml")):
        build(tmp_path).train_dataloader()


def test_what_is_not_allowed_is_named(tmp_path):
    for name, value in (("window", 0), ("window_by", "frames"), ("time_steps", 0)):
        with pytest.raises(ArgumentError, match=f"{name}="):
            build(tmp_path, **{name: value})
    with pytest.raises(ArgumentError, match="diagonal=-1"):
        BoxFilter(diagonal=-1)


def test_a_late_event_at_the_border_of_a_window_is_in_its_own(tmp_path):
    times = [*range(0, 950_000, 10_000), 951_000, 949_999, *range(960_000, 2_000_000, 10_000)]
    write_recording(tmp_path / "test", "late", [(0, 0, t, 1) for t in times], [CAR])
    frames, _ = build(tmp_path, window=50_000, binary=False).split("test")[0]
    assert int(frames.sum()) == len([t for t in times if 950_000 <= t < 1_000_000])
