"""Downloads, of archives that a server on this machine has."""

import errno
import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from qsnn_plugins.data import CIFAR10, CIFAR100, NMNIST, TinyImageNet, base, tiny_imagenet
from qsnn_plugins.data.download import Archive, fetch, unpack
from qsnn_plugins.errors import DataError

LEFTOVER = f".download.{'0' * 32}.tmp"


class Silent(SimpleHTTPRequestHandler):
    """A handler that writes no log."""

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(tmp_path):
    """Return a function that puts a zip of names and contents on the server."""
    folder = tmp_path / "server"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()

    def pack(name, files):
        path = folder / name
        with zipfile.ZipFile(path, "w") as file:
            for entry, content in files.items():
                file.writestr(entry, content)
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        return Archive(url, hashlib.md5(path.read_bytes()).hexdigest())

    yield pack
    server.shutdown()
    server.server_close()


@pytest.fixture
def archive(serve):
    return serve("events.zip", {"inside/1.bin": "one", "inside/sub/2.bin": "two"})


def test_a_folder_of_the_archive_becomes_the_data_sets(tmp_path, archive):
    root = tmp_path / "data" / "Events"
    fetch([replace(archive, folder="inside")], root)
    assert (root / "1.bin").read_text() == "one"
    assert (root / "sub" / "2.bin").read_text() == "two"
    assert [path.name for path in root.parent.iterdir()] == ["Events"]  # nothing else is left


def test_archives_are_laid_over_each_other_and_opened_to_the_last(tmp_path, archive, serve):
    serve("inner.zip", {"deep/3.bin": "three"})
    inner = (tmp_path / "server" / "inner.zip").read_bytes()
    outer = replace(serve("outer", {"inner.zip": inner}), name="outer.zip")
    root = tmp_path / "Events"
    fetch([archive, outer], root)
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert files == {"inside/1.bin", "inside/sub/2.bin", "deep/3.bin"}


def test_what_is_there_is_left_alone(tmp_path):
    (tmp_path / "Events").mkdir()
    (tmp_path / "Events" / "1.bin").touch()
    fetch([Archive("http://127.0.0.1:9/gone.zip", md5="0")], tmp_path / "Events")
    assert [path.name for path in (tmp_path / "Events").iterdir()] == ["1.bin"]


def test_an_empty_folder_is_filled(tmp_path, archive):
    (tmp_path / "Events").mkdir()
    fetch([replace(archive, folder="inside")], tmp_path / "Events")
    assert (tmp_path / "Events" / "1.bin").read_text() == "one"


def test_an_empty_folder_behind_a_link_is_filled(tmp_path, archive):
    (tmp_path / "disk" / "Events").mkdir(parents=True)
    (tmp_path / "Events").symlink_to(tmp_path / "disk" / "Events")
    fetch([replace(archive, folder="inside")], tmp_path / "Events")
    assert (tmp_path / "Events").is_symlink()
    assert (tmp_path / "disk" / "Events" / "1.bin").read_text() == "one"
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["Events"]


@pytest.fixture
def mount_point(tmp_path, monkeypatch):
    """Return an empty folder that cannot be removed, nor another one be put in its place."""
    root = tmp_path / "data" / "Events"
    root.mkdir(parents=True)

    def refuse_busy(change):
        def changed(path, *rest, **options):
            if root in map(Path, (path, *rest)):
                raise OSError(errno.EBUSY, "Device or resource busy")
            return change(path, *rest, **options)

        return changed

    for name in ("rmdir", "replace"):
        monkeypatch.setattr(os, name, refuse_busy(getattr(os, name)))
    return root


def test_an_empty_mount_point_is_filled(archive, mount_point):
    (mount_point / LEFTOVER).mkdir()  # of a download that was killed a moment ago
    fetch([replace(archive, folder="inside")], mount_point)
    assert (mount_point / "1.bin").read_text() == "one"
    assert (mount_point / "sub" / "2.bin").read_text() == "two"
    assert {path.name for path in mount_point.iterdir()} == {"1.bin", "sub", LEFTOVER}
    assert [path.name for path in mount_point.parent.iterdir()] == ["Events"]


def test_what_a_killed_download_left_is_removed_unless_another_still_writes(tmp_path, archive):
    old, young = (tmp_path / f".Events.{digit * 32}.tmp" for digit in "01")
    for folder in (old, young):
        (folder / "inside").mkdir(parents=True)
        (folder / "inside" / "1.bin").touch()
    for path in (old, old / "inside", old / "inside" / "1.bin", young, young / "inside"):
        os.utime(path, (0, 0))
    fetch([archive], tmp_path / "Events")
    assert not old.exists()
    assert young.exists()


def test_every_file_is_on_the_disk_before_the_folder_appears(tmp_path, archive, monkeypatch):
    written, fsync, root = [], os.fsync, tmp_path / "Events"

    def note(number):
        if not root.exists():
            written.append(os.fstat(number).st_ino)
        fsync(number)

    monkeypatch.setattr(os, "fsync", note)
    fetch([archive], root)
    assert {path.stat().st_ino for path in (root, *root.rglob("*"))} <= {*written}


@pytest.mark.parametrize("fault", ["gone", "another", "no folder"])
def test_what_fails_is_named_and_leaves_nothing(tmp_path, archive, fault):
    archive = {
        "gone": replace(archive, url=archive.url.replace("events", "gone")),
        "another": replace(archive, md5="0" * 32),
        "no folder": replace(archive, folder="outside"),
    }[fault]
    folder = tmp_path / "data"
    with pytest.raises(DataError, match=rf"^{archive.url} "):
        fetch([archive], folder / "Events")
    assert list(folder.iterdir()) == []


def test_nothing_is_fetched_unless_asked(tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr(base, "fetch", lambda *args: fetched.append(args))
    for kind in (CIFAR10, CIFAR100, TinyImageNet):
        kind(str(tmp_path / "gone")).prepare_data()
    with pytest.raises(DataError):
        NMNIST(str(tmp_path / "gone")).prepare_data()
    assert fetched == []
    CIFAR100(str(tmp_path / "gone"), download=True).prepare_data()
    TinyImageNet(str(tmp_path / "gone"), download=True).prepare_data()
    with pytest.raises(DataError):
        NMNIST(str(tmp_path / "gone"), download=True).prepare_data()
    assert [archives for archives, _ in fetched] == [
        (CIFAR100.records.archive,),
        (tiny_imagenet._ARCHIVE,),
        NMNIST().dataset.archives,
    ]
    assert {root for _, root in fetched} == {tmp_path / "gone"}


@pytest.mark.parametrize("kind", [CIFAR10, TinyImageNet, NMNIST])
def test_missing_data_say_what_a_download_would_do_or_why_it_did_nothing(tmp_path, kind):
    def said(**settings):
        with pytest.raises(DataError) as raised:
            kind(str(tmp_path / "data"), **settings).setup()
        return str(raised.value)

    assert ", download with download=true, " in said()
    assert ", call prepare_data() first, which downloads, " in said(download=True)
    (tmp_path / "data").mkdir()
    assert ", call prepare_data() first, which downloads, " in said(download=True)
    (tmp_path / "data" / "notes.txt").touch()
    kept = f"remove {tmp_path / 'data'} (it is not empty, so nothing was downloaded)"
    assert f", {kept}, " in said(download=True)
    assert "download=true" not in said(download=True)


def test_a_folder_without_a_class_says_why_nothing_was_downloaded(tmp_path):
    for name in ("Train/0/1.bin", "Test/0/1.bin"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"1, 2, 3, 4, 5, \.\.\.; remove .* nothing was downloaded"):
        NMNIST(str(tmp_path), download=True).prepare_data()


def tar_of(path, *members, tail=b""):
    """Write a .tar.gz of (name, content) or of links (name, target as text)."""
    with gzip.open(path, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def test_a_tar_is_unpacked(tmp_path):
    path = tar_of(tmp_path / "a.tar.gz", ("data/1.bin", b"one"), ("data/sub/2.bin", b"two"))
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out" / "data" / "sub" / "2.bin").read_text() == "two"


@pytest.mark.parametrize(
    "members",
    [
        [("../evil", b"x")],
        [("data/../../evil", b"x")],
        [("link", ".."), ("link/evil", b"x")],
        [("link", "/etc/passwd")],
    ],
)
def test_a_tar_cannot_leave_its_folder(tmp_path, members):
    path = tar_of(tmp_path / "a.tar.gz", ("1.bin", b"one"), *members)
    with pytest.raises(DataError, match=r"a\.tar\.gz cannot be unpacked: .*(outside|absolute)"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_a_zip_cannot_leave_its_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../evil", "x")
    unpack(tmp_path / "a.zip", tmp_path / "deep" / "out")
    assert (tmp_path / "deep" / "out" / "evil").exists()


@pytest.mark.parametrize("name", ["events.zip", "events.tar.gz"])
def test_a_broken_archive_is_one_sentence_and_leaves_nothing(tmp_path, serve, name):
    """Its checksum is that of the broken file, so that only unpacking can tell."""
    content = bytes(range(256)) * 40
    archive = serve(name, {"1.bin": content})
    path = tmp_path / "server" / name
    if name.endswith("gz"):
        tar_of(path, ("1.bin", content))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 if name.endswith("zip") else len(raw) - 7] ^= 4
    for damaged in (raw, raw[: len(raw) // 2], b""):
        path.write_bytes(damaged)
        broken = replace(archive, md5=hashlib.md5(damaged).hexdigest())
        with pytest.raises(DataError, match=rf"{name} cannot be unpacked: "):
            fetch([broken], tmp_path / "data" / "Events")
        assert list((tmp_path / "data").iterdir()) == []


def test_a_broken_zip_inside_an_archive_is_named(tmp_path, serve):
    archive = serve("outer.zip", {"sub/inner.zip": b"PK no zip"})
    with pytest.raises(DataError, match=r"sub/inner\.zip cannot be unpacked: "):
        fetch([archive], tmp_path / "Events")


def test_a_folder_that_cannot_be_written_is_named(tmp_path, archive, monkeypatch):
    with pytest.raises(DataError, match=r"x cannot be written \(File name too long\)"):
        fetch([archive], tmp_path / ("x" * 300))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/data/Events cannot be written \(Not a dir"):
        fetch([archive], tmp_path / "file" / "data" / "Events")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extract", full)
    with pytest.raises(DataError, match=r"events\.zip cannot be unpacked: .*No space left"):
        fetch([archive], tmp_path / "data" / "Events")
    assert list((tmp_path / "data").iterdir()) == []
