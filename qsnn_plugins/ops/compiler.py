"""Compiling C++ code on first use, into a cache that processes and machines can share."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path

from qsnn_plugins.errors import QSNNError
from qsnn_plugins.files import path_beside, remove_leftovers, replace
from qsnn_plugins.progress import phase

__all__ = ["FLAGS", "TIMEOUT", "BuildError", "build", "cache_folder", "compiler"]

# Without contraction a sum of products rounds alike wherever it is written.
FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fopenmp",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-shared",
    "-fPIC",
)
TIMEOUT = 300  # seconds that a compiler may take


class BuildError(QSNNError):
    """A source could not be built on this machine."""


def compiler() -> tuple[str, ...]:
    """Return the C++ compiler, that of the environment's CXX or g++: its path, then its words.

    CXX may hold several words, as in `ccache g++`.

    Raises:
        BuildError: If it is not installed.
    """
    chosen = os.environ.get("CXX", "").strip() or "g++"
    if found := shutil.which(chosen):  # a path may have spaces
        return (found,)
    try:
        name, *words = shlex.split(chosen)
    except ValueError as error:
        raise BuildError(f"CXX={chosen!r} cannot be read: {error}") from error
    if (found := shutil.which(name)) is None:
        raise BuildError(f"there is no compiler {name}")
    return found, *words


def cache_folder() -> Path:
    """Return the cache folder: QSNN_CACHE_DIR, or ~/.cache/qsnn_plugins.

    Raises:
        BuildError: If neither is known.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    chosen = os.environ.get("QSNN_CACHE_DIR")
    try:
        folder = Path(chosen) if chosen else Path("~/.cache/qsnn_plugins")
        return folder.expanduser().absolute()
    except RuntimeError as error:
        raise BuildError("there is no home folder for the cache; set QSNN_CACHE_DIR") from error


def build(
    source: Path,
    flags: tuple[str, ...] = FLAGS,
    headers: tuple[Path, ...] = (),
    purpose: str = "compiling",
) -> Path:
    """Compile `source` to a shared library, unless the cache has it.

    The name of the library contains a digest of the sources, the compiler, the flags and the
    processor, and a digest of its own bytes. A damaged library is compiled again, because loading
    it could kill the process. The library is written under another name and then renamed; leftovers
    of interrupted builds are removed after an hour.

    Args:
        source: One C++ file.
        flags: Flags of the compiler.
        headers: Files that the source includes.
        purpose: What the progress bar says, as in "building the kernel".

    Returns:
        Path of the library.

    Raises:
        BuildError: If there is no compiler, the compilation fails or takes longer than `TIMEOUT`,
            or the cache cannot be written.
    """
    command = compiler()
    texts = (path.read_text("utf-8") for path in (source, *headers))
    parts = (*texts, *command, _version(command), " ".join(flags), _processor())
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    folder, stem = cache_folder(), f"{source.parent.name}-{digest}"
    for library in folder.glob(f"{stem}-*.so"):
        with suppress(OSError):
            if library.name == _named(stem, library).name:
                return library
            library.unlink()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        with path_beside(folder / stem) as temporary:
            with phase(f"{purpose}, once"):
                _run([*command, *flags, str(source), "-o", str(temporary)])
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            library = _named(stem, temporary)
            replace(temporary, library)
    except OSError as error:
        raise BuildError(f"the cache {folder} cannot be written: {error}") from error
    return library


def _named(stem: str, library: Path) -> Path:
    """The path of a library by its own bytes."""
    return library.with_name(f"{stem}-{hashlib.sha256(library.read_bytes()).hexdigest()[:16]}.so")


def _run(command: list[str]) -> str:
    try:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:  # no program, or no memory for another process
        raise BuildError(f"{command[0]} cannot be run: {error.strerror}") from error
    try:
        output, errors = process.communicate(timeout=TIMEOUT)
    except BaseException as error:
        # the compiler proper is a child of what was called, and would hold the pipes open
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise BuildError(f"{command[0]} took longer than {TIMEOUT} s") from None
        raise
    if process.returncode != 0:
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        last = lines[-1] if lines else "no message"  # in another language, or out of memory
        said = next((line for line in lines if "error" in line), last)
        raise BuildError(f"{command[0]} failed with status {process.returncode}: {said}")
    return output


@cache
def _version(command: tuple[str, ...]) -> str:
    return _run([*command, "--version"])


@cache
def _processor() -> str:
    """Name the instructions that -march=native stands for."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    keys = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(keys)}))
