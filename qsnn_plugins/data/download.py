"""Downloads, where a data set has a public address of its own: only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from qsnn_plugins.errors import DataError
from qsnn_plugins.files import path_beside, replace


@dataclass(frozen=True)
class Archive:
    """An archive of a data set.

    Args:
        url: Its address.
        md5: Its checksum.
        folder: The folder inside it that becomes the data set's; "." for all of it.
        name: Its file name, where the address does not end with one.
    """

    url: str
    md5: str
    folder: str = "."
    name: str | None = None


def fetch(archives: Sequence[Archive], root: Path) -> None:
    """Download and unpack archives into the folder `root`, unless it is there already.

    The folder is there when all of it is complete. A zip inside an archive is unpacked too.

    Args:
        archives: What to unpack, each over the one before.
        root: The data set's folder.

    Raises:
        DataError: An archive cannot be had, or is not what it should be.
    """
    if root.exists():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with path_beside(root) as unpacked:
        for archive in archives:
            _unpack(archive, unpacked)
        folder = unpacked / archives[-1].folder
        if not folder.is_dir():
            raise DataError(f"{archives[-1].url} holds no folder {archives[-1].folder}")
        replace(folder, root)


def missing_file(path: Path, dataset: str, archive: Archive, error: OSError) -> DataError:
    """Return the error of a file that a data set of images lacks."""
    return DataError(
        f"{path} of {dataset} cannot be read ({error.strerror}): unpack {archive.url} there, give "
        "another folder with root, let it be fetched with download=true, or run on embedded "
        "images with class_path: Digits"
    )


def _unpack(archive: Archive, folder: Path) -> None:
    from torchvision.datasets.utils import download_and_extract_archive, extract_archive

    try:
        download_and_extract_archive(
            archive.url,
            str(folder),
            filename=archive.name,
            md5=archive.md5,
            remove_finished=True,
        )
    except (URLError, OSError, RuntimeError) as error:
        raise DataError(f"{archive.url} cannot be downloaded: {error}") from error
    for inner in list(folder.rglob("*.zip")):
        extract_archive(str(inner), str(inner.parent), remove_finished=True)
