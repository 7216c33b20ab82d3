"""Files and folders that are whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

__all__ = ["atomic_write", "path_beside", "replace"]


@contextmanager
def atomic_write(path: str | Path, mode: Literal["w", "wb"] = "wb") -> Iterator[IO[Any]]:
    """Open a file for writing that takes the place of `path` when all of it is on the disk.

    A reader sees the old file or the new one; if the block raises, the old one stays. Of several
    writers at once, the last to finish wins. Text is UTF-8 and its lines end with a line feed.

    Args:
        path: The file; its folder has to be there.
        mode: "wb" for bytes, "w" for text.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp(), "results.json")
        >>> with atomic_write(path, "w") as file:
        ...     _ = file.write("[]")
        >>> path.read_text(), [each.name for each in path.parent.iterdir()]
        ('[]', ['results.json'])
    """
    text = {"encoding": "utf-8", "newline": "\n"} if mode == "w" else {}
    with path_beside(path) as temporary:
        with temporary.open(mode.replace("w", "x"), **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        replace(temporary, path)


@contextmanager
def path_beside(path: str | Path) -> Iterator[Path]:
    """Return a hidden path in the same folder that nothing else uses.

    Whatever lies there at the end of the block, a file or a folder, is removed.

    Example:
        >>> with path_beside("data/events.npy") as temporary:
        ...     temporary.parent.name, temporary.name[:12], temporary.exists()
        ('data', '.events.npy.', False)
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def replace(source: str | Path, target: str | Path) -> None:
    """Rename a file or a folder to `target`, and have its folder written to the disk.

    Example:
        >>> from tempfile import mkdtemp
        >>> folder = Path(mkdtemp())
        >>> (folder / "new").touch()
        >>> replace(folder / "new", folder / "old")
        >>> [path.name for path in folder.iterdir()]
        ['old']
    """
    os.replace(source, target)
    # some systems, Windows among them, do not open folders
    with suppress(OSError):
        folder = os.open(Path(target).parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
