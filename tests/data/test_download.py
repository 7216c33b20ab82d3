"""Downloads, of archives that a server on this machine has."""

import hashlib
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from qsnn_plugins.data import CIFAR10, CIFAR100, NMNIST, TinyImageNet, base, tiny_imagenet
from qsnn_plugins.data.download import Archive, fetch
from qsnn_plugins.errors import DataError


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
    fetch([Archive("http://127.0.0.1:9/gone.zip", md5="0")], tmp_path / "Events")
    assert list((tmp_path / "Events").iterdir()) == []


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
