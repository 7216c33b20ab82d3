"""Files and folders that are whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from qsnn_plugins.errors import ArgumentError

__all__ = [
    "DAMAGED",
    "atomic_write",
    "checked_path",
    "digest",
    "is_leftover",
    "locked",
    "path_beside",
    "remove_leftovers",
    "replace",
    "writable",
    "write_through",
]

# what values of other kinds than were written raise on their way out of a file
DAMAGED = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def digest(text: str, tensors: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a description and of tensors, in the order of their names.

    Example:
        >>> digest("two weights", {})[:8]
        'a8602453'
    """
    import torch  # commands that end early do without

    found = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        found.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


_BESIDE = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")


def checked_path(argument: str, value: object) -> Path:
    """Return what a caller gave as a path.

    Raises:
        ArgumentError: If it is none.

    Example:
        >>> checked_path("path", "networks/vgg9.safetensors").name
        'vgg9.safetensors'
    """
    if not isinstance(value, str | os.PathLike) or not str(value) or "\0" in str(value):
        raise ArgumentError(argument, value, "a path, as a str or a Path")
    return Path(value)


@contextmanager
def writable(argument: str, value: object) -> Iterator[Path]:
    """Return what a caller gave as a path, and say in one sentence where it cannot be written.

    Raises:
        ArgumentError: If it is not a path, or what the block writes there cannot be.

    Example:
        >>> with writable("path", "nowhere/network.bin") as path, atomic_write(path):
        ...     pass
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: path='nowhere/network.bin' is not allowed: give a path \
that can be written (No such file or directory)
    """
    path = checked_path(argument, value)
    try:
        yield path
    except OSError as error:
        allowed = f"a path that can be written ({error.strerror or type(error).__name__})"
        raise ArgumentError(argument, str(path), allowed) from None


@contextmanager
def atomic_write(path: str | Path, mode: Literal["w", "wb"] = "wb") -> Iterator[IO[Any]]:
    """Open a file for writing that takes the place of `path` when all of it is on the disk.

    A reader sees the old file or the new one; if the block raises, the old one stays. Of several
    writers at once, the last to finish wins. A symbolic link at `path` is replaced, and the file
    that it names stays as it is. The new file has the permissions of the old one. Text is UTF-8 and
    its lines end with a line feed.

    Args:
        path: The file; its folder has to be there.
        mode: "wb" for bytes, "w" for text.

    Raises:
        PermissionError: If the old file is write-protected.
        FileExistsError: If a device, a pipe or a folder is there.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp(), "results.json")
        >>> with atomic_write(path, "w") as file:
        ...     _ = file.write("[]")
        >>> path.read_text(), [each.name for each in path.parent.iterdir()]
        ('[]', ['results.json'])
    """
    permissions = check_replaceable(path)
    text = {"encoding": "utf-8", "newline": "\n"} if mode == "w" else {}
    with path_beside(path) as temporary:
        with temporary.open(mode.replace("w", "x"), **text) as file:  # type: ignore[call-overload]
            # before there is anything to read; not all file systems let modes be set
            if permissions not in (None, stat.S_IMODE(temporary.stat().st_mode)):
                temporary.chmod(permissions)
            yield file
            file.flush()
            os.fsync(file.fileno())
        replace(temporary, path)


def check_replaceable(path: str | Path) -> int | None:
    """Return the permissions of the file that `atomic_write` would replace, or None without one.

    Raises:
        PermissionError: If the file is write-protected.
        FileExistsError: If a device, a pipe or a folder is there.

    Example:
        >>> check_replaceable("nowhere/results.json")
    """
    path = Path(path)
    # /dev/stdout is a link that is no device where the output goes to a file
    is_stream = path.is_symlink() and os.readlink(path).startswith("/proc/")
    if is_stream or (path.exists() and not path.is_file()):
        raise FileExistsError(errno.EEXIST, "not a regular file", str(path))
    if path.is_symlink() or not path.exists():
        return None
    permissions = stat.S_IMODE(path.stat().st_mode)
    # a rename asks the folder only, and nothing stops root
    if not permissions & 0o222 or not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is write-protected", str(path))
    return permissions


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
        _remove(temporary)


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
    _sync_folder(Path(target).parent)


@contextmanager
def locked(path: str | Path, wait: bool = True) -> Iterator[None]:
    """Keep every other process out that locks the same file; the system unlocks it for the killed.

    The file stays, empty. Where the system or its file system knows no locks, nothing is locked.

    Args:
        path: The file; its folder has to be there.
        wait: Whether to wait for whoever has it.

    Raises:
        BlockingIOError: Another process has it, and `wait` is False.

    Example:
        >>> from tempfile import mkdtemp
        >>> with locked(Path(mkdtemp(), ".lock")):
        ...     pass
    """
    with Path(path).open("ab") as file:
        if fcntl is not None:
            # of the process, and so not inherited by its children as those of flock are
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    raise BlockingIOError(error.errno, error.strerror) from None
                if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
                    raise
        yield


def write_through(folder: str | Path) -> None:
    """Have all that a folder holds written to the disk, before it is renamed into its place.

    Example:
        >>> from tempfile import mkdtemp
        >>> folder = Path(mkdtemp())
        >>> (folder / "events.npy").touch()
        >>> write_through(folder)
    """
    for path in (*Path(folder).rglob("*"), Path(folder)):
        if path.is_dir():
            _sync_folder(path)
        elif path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())


def is_leftover(path: Path) -> bool:
    """Return whether a path is one of `path_beside`.

    Example:
        >>> is_leftover(Path(f"data/.events.npy.{'0' * 32}.tmp"))
        True
    """
    return _BESIDE.fullmatch(path.name) is not None


def remove_leftovers(folder: str | Path, age: float = 3600) -> None:
    """Remove what writers that were killed left beside its place.

    Args:
        folder: Where they wrote.
        age: Seconds since it, or anything in it, was last written: what is younger may be in the
            making.

    Example:
        >>> from tempfile import mkdtemp
        >>> folder = Path(mkdtemp())
        >>> (folder / f".last.ckpt.{'0' * 32}.tmp").touch()
        >>> remove_leftovers(folder)
        >>> len(list(folder.iterdir()))
        1
        >>> remove_leftovers(folder, age=0)
        >>> list(folder.iterdir())
        []
    """
    for path in Path(folder).iterdir():
        with suppress(OSError):
            if is_leftover(path) and time.time() - _last_written(path) >= age:
                _remove(path)


def _last_written(path: Path) -> float:
    # a folder's own time stays while a file in it grows
    return max(each.lstat().st_mtime for each in (path, *path.rglob("*")))


def _sync_folder(path: Path) -> None:
    # some systems, Windows among them, do not open folders
    with suppress(OSError):
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
