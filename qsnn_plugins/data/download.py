"""Downloads of data sets with a public address, only on request."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from qsnn_plugins.errors import DataError
from qsnn_plugins.files import (
    is_leftover,
    path_beside,
    remove_leftovers,
    replace,
    write_through,
)
from qsnn_plugins.progress import phase, tracked

_CHUNK = 1 << 20  # bytes
_TIMEOUT = 60  # seconds without an answer


@dataclass(frozen=True)
class Archive:
    """An archive of a data set.

    Args:
        url: Its address.
        md5: Its checksum.
        folder: The folder inside it that becomes the folder of the data set; "." for all of it.
        name: Its file name, if the address does not end with one.
    """

    url: str
    md5: str
    folder: str = "."
    name: str | None = None


def fetch(archives: Sequence[Archive], root: Path) -> None:
    """Download and unpack archives into the folder `root`, unless there is one with content.

    The folder appears only when it is complete; an empty one that cannot be replaced, such as a
    mount point, is filled at the end. Zip files inside an archive are unpacked too.

    Args:
        archives: Archives to unpack into the same folder, in this order.
        root: The data set's folder.

    Raises:
        DataError: An archive cannot be downloaded or has a wrong checksum, or the folder cannot be
            written.
    """
    try:
        root = root.resolve()  # a link stays, and what it names is filled
        with suppress(OSError):
            root.rmdir()  # nothing is in what can be removed so
        if root.exists() and not is_empty(root):
            return
        place = root / "download" if root.exists() else root
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(place.parent)
        with path_beside(place) as unpacked:
            folder = _fetched(archives, unpacked)
            moves = [(folder, root)]
            if root.exists():
                moves = [(entry, root / entry.name) for entry in folder.iterdir()]
            for source, target in moves:
                replace(source, target)
    except OSError as error:
        raise DataError(
            f"{root} cannot be written ({error.strerror}): give another root"
        ) from error


def is_empty(root: Path) -> bool:
    """Return whether a folder holds nothing, but for what a killed download left in it."""
    return root.is_dir() and all(is_leftover(path) for path in root.iterdir())


def unpack(path: Path, folder: Path) -> None:
    """Unpack a `.zip` or a `.tar.gz` file into a folder, and never outside of it.

    Args:
        path: The archive.
        folder: Where its files go.

    Raises:
        DataError: It is damaged, or a file in it lies outside the folder.

    Example:
        >>> from tempfile import mkdtemp
        >>> folder = Path(mkdtemp())
        >>> with zipfile.ZipFile(folder / "events.zip", "w") as archive:
        ...     archive.writestr("1.bin", "one")
        >>> unpack(folder / "events.zip", folder)
        >>> (folder / "1.bin").read_text()
        'one'
    """
    text = f"unpacking {path.name}"
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as zipped:
                entries = zipped.infolist()
                _require_all_entries(path, len(entries))
                for entry in tracked(entries, text):
                    zipped.extract(entry, folder)
            return
        with (
            path.open("rb") as packed,
            gzip.open(packed) as stream,
            phase(text, path.stat().st_size) as done,
        ):
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    tar.extract(member, folder, filter="data")
                    done(packed.tell())
            # tar stops at its own end, and the checksum comes after it
            while stream.read(_CHUNK):
                pass
    # RuntimeError: encrypted, or packed in a way that is not known
    except (
        *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
        *(OSError, EOFError, RuntimeError, ValueError),
    ) as error:
        raise DataError(f"{path} cannot be unpacked: {error}") from error


def _require_all_entries(path: Path, count: int) -> None:
    """Raise BadZipFile if a zip's last record, which zipfile does not compare, counts others."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - (1 << 16) - 22, 0))
        tail = file.read()
    start = tail.rfind(b"PK\5\6") + 10
    counted = int.from_bytes(tail[start : start + 2], "little")
    # 16 bits, all ones in a zip of more than 4 GB
    if counted not in (count % (1 << 16), (1 << 16) - 1):
        raise zipfile.BadZipFile(f"it has {count} of {counted} entries")


def _fetched(archives: Sequence[Archive], unpacked: Path) -> Path:
    """Download and unpack archives into a new folder, and return the one that is wanted of it."""
    unpacked.mkdir()
    for archive in archives:
        _download(archive, unpacked)
    folder = unpacked / archives[-1].folder
    if not folder.is_dir():
        raise DataError(f"{archives[-1].url} contains no folder {archives[-1].folder}")
    with phase("writing the files to the disk"):
        write_through(folder)
    return folder


def _download(archive: Archive, folder: Path) -> None:
    """Download and unpack an archive, and the zips in it."""
    outer = folder / (archive.name or Path(archive.url).name)
    try:
        checksum = _retrieve(archive.url, outer)
    except (OSError, HTTPException) as error:
        raise DataError(f"{archive.url} cannot be downloaded: {error}") from error
    if checksum != archive.md5:
        raise DataError(
            f"{archive.url} cannot be downloaded: the MD5 checksum of the file is {checksum}, not "
            f"{archive.md5}; try again"
        )
    unpack(outer, folder)
    outer.unlink()
    for inner in list(folder.rglob("*.zip")):
        unpack(inner, inner.parent)
        inner.unlink()


def _retrieve(url: str, path: Path) -> str:
    """Download a file, and return its MD5 checksum."""
    digest = hashlib.md5(usedforsecurity=False)
    request = Request(url, headers={"User-Agent": "qsnn-plugins"})
    with (
        urlopen(request, timeout=_TIMEOUT) as response,
        path.open("wb") as file,
        phase(f"downloading {path.name}", response.length) as done,
    ):
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            done(file.tell())
    return digest.hexdigest()
