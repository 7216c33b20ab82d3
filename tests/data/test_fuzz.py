"""2,000 damaged files of a fixed seed: each is an error of ours, or nothing could tell."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qsnn_plugins.data import CIFAR10, CIFAR100, DVS128Gesture, Gen1, NCars, TinyImageNet
from qsnn_plugins.data.aedat import read_aedat3, read_aedat4, read_dvs128_aedat2
from qsnn_plugins.data.atis import read_atis_bin
from qsnn_plugins.data.cifar import _read_records
from qsnn_plugins.data.download import unpack
from qsnn_plugins.data.frame_cache import EventReader, Recording, cached_frames
from qsnn_plugins.data.frames import FrameBinning
from qsnn_plugins.data.imagenet import _by_table, _synsets
from qsnn_plugins.data.images_module import ImageFiles
from qsnn_plugins.data.prophesee import DatFile, read_boxes, read_dat
from qsnn_plugins.errors import QSNNError
from qsnn_plugins.files import path_beside
from tests.data.gen1_files import NEWER, OLDER, write_recording

from .event_files import REAL, atis, dat, needs_real

FILES = 90  # of each kind
RANDOM = np.random.default_rng(0)
TIMES = np.sort(RANDOM.integers(0, 200_000, 300)).tolist()
EVENTS = [(*RANDOM.integers(0, 30, 2).tolist(), t, t % 2) for t in TIMES]
BOXES = [(100_000 * n, 20 + n, 30, 60, 40, n % 2) for n in range(6, 10)]
MEMBERS = {f"data/{n}.bin": RANDOM.integers(0, 99, 400, np.uint8).tobytes() for n in range(3)}
SYNSETS = [f"n{number:08}" for number in range(200)]


def aedat2() -> bytes:
    words = np.array([((127 - x) << 8 | (127 - y) << 1 | p, t) for x, y, t, p in EVENTS], ">u4")
    return b"#!AER-DAT2.0\r\n# a test's\r\n" + words.tobytes()


def aedat3() -> bytes:
    raw = b"#!AER-DAT3.1\r\n#!END-HEADER\r\n"
    for part in range(0, 300, 50):
        words = [(x << 17 | y << 2 | p << 1 | 1, t) for x, y, t, p in EVENTS[part : part + 50]]
        counts = np.array([8, 4, 0, 50, 50, 50], dtype="<u4")
        raw += b"\1\0\0\0" + counts.tobytes() + np.array(words, dtype="<u4").tobytes()
    return raw


def boxes(dialect: Any) -> bytes:
    stream = io.BytesIO()
    stored = np.zeros(len(BOXES), dtype=dialect)
    for name, values in zip(
        (stored.dtype.names[0], *"xywh", "class_id"), zip(*BOXES, strict=True), strict=True
    ):
        stored[name] = values
    np.save(stream, stored)
    return stream.getvalue()


def image(format: str) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(2).integers(0, 255, (24, 20, 3), np.uint8)
    Image.fromarray(pixels).save(stream, format)
    return stream.getvalue()


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with gzip.open(stream, "wb") as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in MEMBERS.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def read_archive(path: Path) -> dict[str, bytes]:
    with path_beside(path) as folder:
        unpack(path, folder)
        files = (file for file in folder.rglob("*") if file.is_file())
        return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def read_image(path: Path) -> bytes:
    return ImageFiles([(path, 0)])[0][0].tobytes()


def read_mapped(path: Path) -> None:
    recording = DatFile(path)
    recording.window(50_000, 90_000)
    recording.last(20, 90_000)


def read_gen1(path: Path) -> None:
    """Read whole events beside these boxes."""
    folder = path.parent / "test"
    if not folder.exists():
        write_recording(folder, "drive", [(x, y, 5 * t, p) for x, y, t, p in EVENTS], BOXES)
    path.replace(folder / "drive_bbox.npy")
    split = Gen1(str(path.parent), size=12).split("test")
    for index in range(len(split)):
        split[index]


def read_ncars(path: Path) -> None:
    """Read whole recordings beside this one, which may be left out."""
    for name in ("train/cars", "train/background", "test/cars", "test/background"):
        file = path.parent / f"n-cars_{name}" / "obj_1_td.dat"
        if not file.exists():
            file.parent.mkdir(parents=True)
            file.write_bytes(dat(*EVENTS))
    path.replace(path.parent / "n-cars_train" / "cars" / "obj_2_td.dat")
    data = NCars(str(path.parent), size=6, time_steps=2, allow_broken=True)
    train, _ = data._load()
    assert len(train) + len(train.broken) == 3
    assert train.broken.tolist() in ([], [2])


def read_gestures(name: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        for split, user in (("train", "user01"), ("test", "user10")):
            (path.parent / f"trials_to_{split}.txt").write_text(f"{user}_led.aedat\n")
        for file in (*TRIALS.split(), "user10_led.aedat"):
            (path.parent / f"{Path(file).stem}_labels.csv").write_bytes(GESTURES)
        path.replace(path.parent / name)
        DVS128Gesture(str(path.parent)).find()

    return read


GESTURES = b"class,start,end\r\n" + b"".join(b"%d,%d,%d\r\n" % (n, n, n + 9) for n in range(1, 12))
TRIALS = "".join(f"user{n:02}_led.aedat\n" for n in range(1, 10))
ANNOTATIONS = "".join(f"{n}.JPEG\t{name}\t0\t0\n" for n, name in enumerate(SYNSETS)).encode()
SOLUTION = "".join(f"i{n},{SYNSETS[n % 3]} 1 2\n" for n in range(12)).encode()


def read_tiny_imagenet(name: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        for synset in SYNSETS if not (path.parent / "train").exists() else []:
            (path.parent / "train" / synset).mkdir(parents=True)
            (path.parent / "train" / synset / "1.JPEG").touch()
        (path.parent / "val" / "images").mkdir(parents=True, exist_ok=True)
        (path.parent / "val" / "images" / "0.JPEG").touch()
        (path.parent / "wnids.txt").write_text("\n".join(SYNSETS))
        (path.parent / "val" / "val_annotations.txt").write_bytes(ANNOTATIONS)
        path.replace(path.parent / name)
        TinyImageNet(str(path.parent)).pictures()

    return read


def read_cache(binary: bool) -> Callable[[Path], list[Any]]:
    """Put the file in the place of the cache, if it is there."""

    def read(path: Path) -> list[Any]:
        recording = path.parent / "recording.bin"
        if not recording.exists():
            recording.write_bytes(atis(*EVENTS))
        reader = EventReader("fuzz", (34, 34), lambda path: read_atis_bin(path, (34, 34)))
        binning = FrameBinning(2, size=(3, 3), binary=binary)
        recordings = [Recording(recording, label) for label in range(3)]
        cache = next(path.parent.glob("fuzz-*"), None)
        if cache is not None:
            path.replace(cache)
        frames = cached_frames(recordings, reader, binning, path.parent, split="all")
        frames.path.with_name("whole").write_bytes(frames.path.read_bytes())
        return [(frames[n][0].tolist(), frames[n][1]) for n in range(3)]

    return read


@dataclass(frozen=True)
class Kind:
    """Bytes of a whole file, what reads them, and whether a checksum covers them."""

    whole: bytes
    read: Callable[[Path], Any]
    checked: bool = False


CIFAR_RECORD = bytes([3]) + bytes(3072)
KINDS = {
    "atis": Kind(atis(*EVENTS), lambda path: read_atis_bin(path, (34, 34))),
    "dat": Kind(dat(*EVENTS), lambda path: read_dat(path, (100, 120))),
    "mapped dat": Kind(dat(*EVENTS), read_mapped),
    "aedat2": Kind(aedat2(), read_dvs128_aedat2),
    "aedat3": Kind(aedat3(), lambda path: read_aedat3(path, (128, 128))),
    "ncars": Kind(dat(*EVENTS), read_ncars),
    "older boxes": Kind(boxes(OLDER), read_boxes),
    "newer boxes": Kind(boxes(NEWER), read_boxes),
    "gen1": Kind(boxes(OLDER), read_gen1),
    "gestures": Kind(GESTURES, read_gestures("user01_led_labels.csv")),
    "trials": Kind(TRIALS.encode(), read_gestures("trials_to_train.txt")),
    "cifar10": Kind(CIFAR_RECORD * 3, lambda path: _read_records(path, CIFAR10.records, images=3)),
    "cifar100": Kind(
        (b"\3" + CIFAR_RECORD) * 3, lambda path: _read_records(path, CIFAR100.records, images=3)
    ),
    "png": Kind(image("PNG"), read_image, checked=True),
    "jpeg": Kind(image("JPEG"), read_image),
    "wnids": Kind("\n".join(SYNSETS).encode(), read_tiny_imagenet("wnids.txt")),
    "annotations": Kind(ANNOTATIONS, read_tiny_imagenet("val/val_annotations.txt")),
    "solution": Kind(
        b"ImageId,PredictionString\n" + SOLUTION,
        lambda path: _by_table(path.parent, path, dict(zip(SYNSETS[:3], range(3), strict=True))),
    ),
    "classes": Kind("\n".join(SYNSETS[:9]).encode(), lambda path: _synsets(str(path))),
    "binary cache": Kind(b"", read_cache(binary=True), checked=True),
    "counted cache": Kind(b"", read_cache(binary=False), checked=True),
    "zip": Kind(zipped(), read_archive, checked=True),
    "tar.gz": Kind(tarred(), read_archive, checked=True),
}


def flipped(raw: bytearray, random: np.random.Generator) -> bytes:
    for bit in random.integers(0, 8 * len(raw), random.integers(1, 4)):
        raw[bit // 8] ^= 1 << bit % 8
    return raw


def truncated(raw: bytearray, random: np.random.Generator) -> bytes:
    return raw[: random.integers(1, len(raw))]


def zeroed(raw: bytearray, random: np.random.Generator) -> bytes:
    start, stop = np.sort(random.integers(0, len(raw) + 1, 2))
    return raw[:start] + bytes(int(stop - start)) + raw[stop:]


def duplicated(raw: bytearray, random: np.random.Generator) -> bytes:
    start, stop = np.sort(random.integers(0, len(raw) + 1, 2))
    return raw[:stop] + raw[start:stop] + raw[stop:]


def shuffled(raw: bytearray, random: np.random.Generator) -> bytes:
    size = int(random.integers(1, max(len(raw) // 2, 2)))
    chunks = [raw[start : start + size] for start in range(0, len(raw), size)]
    return b"".join(chunks[index] for index in random.permutation(len(chunks)))


def emptied(raw: bytearray, random: np.random.Generator) -> bytes:
    return b""


def swapped(raw: bytearray, random: np.random.Generator) -> bytes:
    return list(KINDS.values())[random.integers(len(KINDS))].whole


# most are flipped bits, which are the hardest to see
MUTATIONS = (flipped, flipped, flipped, truncated, zeroed, duplicated, shuffled, swapped)


def fuzz(folder: Path, kind: Kind, seed: int, files: int = FILES) -> int:
    """Read damaged files; return how many were errors of ours."""
    path = folder / "file"

    def read(raw: bytes) -> Any:
        path.write_bytes(raw)
        return kind.read(path)

    expected, whole, errors = read(kind.whole), kind.whole, 0
    cache = folder / "whole"
    for number in range(files):
        random = np.random.default_rng([seed, number])
        mutate = emptied if number == 0 else MUTATIONS[number % len(MUTATIONS)]
        raw = mutate(bytearray(cache.read_bytes() if cache.exists() else whole), random)
        try:
            found = read(raw)
        except QSNNError:
            errors += 1
        else:
            # another whole image may have come in this one's place
            if kind.checked and (cache.exists() or mutate is not swapped):
                assert found == expected, f"{mutate.__name__} file {number} was believed"
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_is_an_error_of_ours(name, tmp_path):
    errors = fuzz(tmp_path, KINDS[name], seed=list(KINDS).index(name))
    if name in ("ncars", "binary cache", "counted cache"):
        assert errors == 0  # it is left out, or made anew
    else:
        assert errors > FILES / 9


@pytest.mark.slow
@needs_real
def test_a_damaged_aedat4_file_is_an_error_of_ours(tmp_path):
    pytest.importorskip("aedat", reason="aedat, an extra, is not installed")
    whole = (REAL / "davis_sample.aedat4").read_bytes()
    assert fuzz(tmp_path, Kind(whole, lambda path: read_aedat4(path, (260, 346))), 99, files=40)


def test_there_are_2000_of_them_and_one_that_is_believed_is_found(tmp_path):
    assert FILES * len(KINDS) >= 2_000
    unchecked = replace(KINDS["tar.gz"], read=lambda path: path.read_bytes())
    with pytest.raises(AssertionError, match="was believed"):
        fuzz(tmp_path, unchecked, 0)
    with pytest.raises(ZeroDivisionError):
        fuzz(tmp_path, Kind(b"whole", lambda path: 1 / len(path.read_bytes())), 0)
