"""DVS128Gesture on tiny recordings that the tests write."""

import numpy as np
import pytest

from qsnn_plugins.data import DVS128Gesture, dvs128_gesture
from qsnn_plugins.errors import ArgumentError, DataError

GESTURES = (1, 11, 8, 2, 3, 4, 5, 6, 7, 9, 10)
LABELS = [gesture - 1 for gesture in GESTURES]
USERS = {"train": ["user01_led", "user02_lab"], "test": ["user24_led"]}


def write(folder, name, gestures):
    """Write gestures (class, pixel), each of 100 events at one pixel, 10 ms apart from the next."""
    events, rows = [], ["class,startTime_usec,endTime_usec"]
    for number, (gesture, pixel) in enumerate(gestures):
        start = 1_000_000 + 20_000 * number
        rows.append(f"{gesture},{start},{start + 10_000}")
        events += [(pixel << 17 | pixel << 2 | 3, start + 100 * i) for i in range(100)]
        # between gestures, and at the very end of one, which is excluded: events of no gesture
        events += [(127 << 17 | 127 << 2 | 3, start + 10_000 + 100 * i) for i in range(50)]
    body = np.array(events, dtype="<u4")
    header = np.array([8, 4, 0, len(events), len(events), len(events)], dtype="<u4").tobytes()
    packet = np.array([1, 0], "<u2").tobytes() + header + body.tobytes()
    (folder / f"{name}.aedat").write_bytes(b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + packet)
    (folder / f"{name}_labels.csv").write_text("\r\n".join(rows) + "\r\n")


@pytest.fixture
def root(tmp_path):
    for split, names in USERS.items():
        (tmp_path / f"trials_to_{split}.txt").write_text("\n".join(f"{n}.aedat" for n in names))
        for user, name in enumerate(names):
            write(tmp_path, name, [(gesture, 10 * user + gesture) for gesture in GESTURES])
    (tmp_path / "trials_to_test.txt").write_text("user24_led.aedat\n\n")
    return tmp_path


def test_gestures_are_cut_out_of_their_files(root):
    data = DVS128Gesture(str(root), size=128)
    data.setup()
    assert (data.num_classes, data.frame_shape, data.time_steps) == (11, (2, 128, 128), 16)
    assert data.train.labels.tolist() == LABELS * 2
    assert data.test.labels.tolist() == LABELS
    for index in range(22):
        frames, label = data.train[index]
        pixel = 10 * (index // 11) + label + 1
        assert frames.sum() == 100
        assert frames[:, 1, pixel, pixel].sum() == 100
        assert set(frames.sum(dim=(1, 2, 3)).tolist()) == {6, 7}  # 100 events in 16 frames


def test_a_file_is_parsed_once(root, monkeypatch):
    parsed = []
    read = dvs128_gesture.read_aedat3
    monkeypatch.setattr(
        dvs128_gesture,
        "read_aedat3",
        lambda path, size: parsed.append(path.stem) or read(path, size),
    )
    DVS128Gesture(str(root)).prepare_data()
    assert parsed == ["user01_led", "user02_lab", "user24_led"]
    assert dvs128_gesture._read.cache_info().currsize == 0  # and none is kept


def test_settings_arrive(root):
    data = DVS128Gesture(str(root), time_steps=10, size=(32, 64), bin_by="time", binary=True)
    frames, _ = data.test_dataloader().dataset[1]
    assert frames.shape == (10, 2, 32, 64)
    assert frames.sum() == 10


def test_missing_data_say_where_and_what_to_do(tmp_path):
    with pytest.raises(DataError) as raised:
        DVS128Gesture(str(tmp_path)).prepare_data()
    for word in ("no training recordings", "trials_to_train.txt", "ibm.ent.box.com", "embedded"):
        assert word in str(raised.value)


def test_a_missing_table_of_labels_is_named(root):
    (root / "user02_lab_labels.csv").unlink()
    with pytest.raises(DataError, match=r"user02_lab_labels\.csv cannot be read as a table"):
        DVS128Gesture(str(root)).prepare_data()


@pytest.mark.parametrize("header", ["", "1,900000,910000\r\n", "\ufeff1, 900000, 910000\r\n"])
def test_a_table_of_labels_without_a_header_is_named(root, header):
    """Its first gesture would be taken for the header."""
    path = root / "user24_led_labels.csv"
    rows = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
    path.write_text(header + "".join(rows), encoding="utf-8")
    with pytest.raises(DataError, match=r"user24_led_labels\.csv .*first line, .*, is no header"):
        DVS128Gesture(str(root)).prepare_data()


@pytest.mark.parametrize(
    ("split", "name"),
    [("train", "user24_led.aedat"), ("test", "./user24_led.aedat"), ("train", "user01_led.aedat")],
)
def test_a_file_that_is_listed_twice_is_named(root, split, name):
    with (root / f"trials_to_{split}.txt").open("a") as file:
        file.write(f"\n{name}\n")
    said = rf"{name[-16:]} is listed 2 times in trials_to_train\.txt and trials_to_test\.txt: "
    for allow_broken in (False, True):
        with pytest.raises(DataError, match=said):
            DVS128Gesture(str(root), allow_broken=allow_broken).prepare_data()


@pytest.mark.parametrize("row", ["12,1,2", "0,1,2", "3,20,10", "3,x,10", "3,10"])
def test_a_row_that_is_no_gesture_is_named(root, row):
    path = root / "user24_led_labels.csv"
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(DataError, match=r"user24_led_labels\.csv"):
        DVS128Gesture(str(root)).prepare_data()


def test_a_gesture_without_events_is_broken(root):
    path = root / "user24_led_labels.csv"
    path.write_text(path.read_text() + "3,5000000,6000000\n")
    with pytest.raises(DataError, match=r"user24_led\.aedat has no event from 5000000 to 6000000"):
        DVS128Gesture(str(root)).prepare_data()
    data = DVS128Gesture(str(root), allow_broken=True)
    with pytest.warns(UserWarning, match="1 of 12 test recordings"):
        data.setup()
    assert len(data.test) == 11


def test_a_download_is_refused_with_the_address():
    with pytest.raises(ArgumentError, match=r"^download=True .*ibm\.ent\.box\.com"):
        DVS128Gesture(download=True)


def test_a_listed_file_that_is_gone_can_be_left_out(root):
    """Without its table of labels nobody knows how many gestures it had."""
    with (root / "trials_to_train.txt").open("a") as file:
        file.write("\nuser09_led.aedat")
    (root / "user01_led.aedat").unlink()
    with pytest.raises(DataError, match=r"user09_led_labels\.csv cannot be read as a table"):
        DVS128Gesture(str(root)).prepare_data()
    data = DVS128Gesture(str(root), allow_broken=True)
    with pytest.warns(UserWarning, match="left out") as warned:
        data.setup()
    said = " ".join(str(warning.message) for warning in warned)
    assert "user09_led.aedat is left out: " in said
    assert "11 of 22 training recordings" in said
    assert data.train.labels.tolist() == LABELS


def test_a_list_that_is_no_text_is_named(root):
    (root / "trials_to_test.txt").write_bytes(b"user24_led.aedat\xff\xfe")
    with pytest.raises(DataError, match=r"trials_to_test\.txt cannot be read as a list of files"):
        DVS128Gesture(str(root)).prepare_data()
