"""Which recordings a folder holds."""

import pytest

from qsnn_plugins.data import CIFAR10DVS, NMNIST, NCaltech101, NCars
from qsnn_plugins.data.recordings import list_recordings
from qsnn_plugins.errors import DataError


@pytest.fixture
def folder(tmp_path):
    def fill(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return fill


def names(found):
    return [[recording.path.name for recording in recordings] for recordings in found]


def test_the_order_is_that_of_the_numbers(folder):
    root = folder("a/x2_100.bin", "a/x2_20.bin", "a/x2_3.bin", "a/plain.bin")
    found = list_recordings(root, ("a",), (".bin",))
    assert names(found) == [["plain.bin", "x2_3.bin", "x2_20.bin", "x2_100.bin"]]


def test_labels_follow_the_classes_not_the_folders(folder):
    root = folder("b/1.bin", "a/1.bin", "other/1.bin")
    found = list_recordings(root, ("b", "absent", "a"), (".bin",))
    assert [[recording.label for recording in part] for part in found] == [[0], [], [2]]


def test_foreign_and_hidden_files_are_passed_by(folder):
    root = folder("a/1.bin", "a/._1.bin", "a/read.me", "a/2.bin.txt")
    assert names(list_recordings(root, ("a",), (".bin",))) == [["1.bin"]]


def test_one_ending_a_class(folder):
    """A recording that lies there in two formats counts once."""
    root = folder("a/1.aedat", "a/1.aedat4", "b/1.aedat4")
    found = list_recordings(root, ("a", "b"), (".aedat", ".aedat4"))
    assert names(found) == [["1.aedat"], ["1.aedat4"]]


def test_an_absent_folder_is_empty(tmp_path):
    assert list_recordings(tmp_path / "gone", ("a", "b"), (".bin",)) == [[], []]


LAYOUTS = {
    NMNIST: (["Train", "Test"], [str(digit) for digit in range(10)], ".bin"),
    NCars: (["n-cars_train", "n-cars_test"], ["background", "cars"], ".dat"),
    CIFAR10DVS: ([""], CIFAR10DVS().class_names, ".aedat"),
    NCaltech101: ([""], NCaltech101().class_names, ".bin"),
}


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("allow_broken", [False, True])
def test_a_class_without_recordings_is_named(folder, kind, allow_broken):
    """A run would train on the other classes without a word."""
    splits, classes, suffix = LAYOUTS[kind]
    for split in splits:
        root = folder(*(f"./{s}/{c}/{n}{suffix}" for s in splits for c in classes for n in (1, 2)))
        (root / split / classes[1]).rename(root / "elsewhere")
        name = "test" if "est" in split else "training"
        said = rf"^1 of {len(classes)} classes of .* have no {name} recording in .*: {classes[1]}$"
        with pytest.raises(DataError, match=said):
            kind(str(root), allow_broken=allow_broken).prepare_data()
        (root / "elsewhere").rename(root / split / classes[1])


def test_a_half_converted_folder_is_refused(folder):
    root = folder("cat/cat_1.aedat", "cat/cat_2.aedat4", "cat/cat_3.aedat4")
    with pytest.raises(DataError, match=r"1 recordings \*.aedat, and 2 others .* such as cat_2"):
        list_recordings(root, ("cat",), (".aedat", ".aedat4"))
    (cats,) = list_recordings(
        folder("cat/cat_2.aedat", "cat/cat_3.aedat"), ("cat",), (".aedat", ".aedat4")
    )
    assert len(cats) == 3
