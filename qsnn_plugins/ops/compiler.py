"""Building a C++ source on first use, into a cache that processes and machines can share."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

from qsnn_plugins.errors import QSNNError
from qsnn_plugins.files import path_beside, replace

__all__ = ["FLAGS", "BuildError", "build", "cache_folder", "compiler"]

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


class BuildError(QSNNError):
    """A source could not be built on this machine."""


def compiler() -> str:
    """Return the path of the C++ compiler: that of the environment's CXX, or g++.

    Raises:
        BuildError: If it is not installed.
    """
    name = os.environ.get("CXX", "g++")
    found = shutil.which(name)
    if found is None:
        raise BuildError(f"there is no compiler {name}")
    return found


def cache_folder() -> Path:
    """Return the folder of what was built: QSNN_CACHE_DIR, or ~/.cache/qsnn_plugins.

    Raises:
        BuildError: If neither is known.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    chosen = os.environ.get("QSNN_CACHE_DIR")
    try:
        return (Path(chosen) if chosen else Path.home() / ".cache" / "qsnn_plugins").absolute()
    except RuntimeError as error:
        raise BuildError("there is no home folder for a cache; set QSNN_CACHE_DIR") from error


def build(source: Path, flags: tuple[str, ...] = FLAGS, headers: tuple[Path, ...] = ()) -> Path:
    """Compile `source` to a shared library, unless the cache has it.

    The library's name is a digest of the sources, the compiler, the flags and the processor. It
    is written aside and then renamed, so that no process ever meets half of one.

    Args:
        source: One C++ file.
        flags: Flags of the compiler.
        headers: Files that the source includes.

    Returns:
        Path of the library.

    Raises:
        BuildError: If there is no compiler, the compilation fails or the cache cannot be written.
    """
    command = compiler()
    texts = (path.read_text("utf-8") for path in (source, *headers))
    parts = (*texts, command, _version(command), " ".join(flags), _processor())
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    library = cache_folder() / f"{source.parent.name}-{digest}.so"
    if library.exists():
        return library
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with path_beside(library) as temporary:
            _run([command, *flags, str(source), "-o", str(temporary)])
            replace(temporary, library)
    except OSError as error:
        raise BuildError(f"the cache {library.parent} cannot be written: {error}") from error
    return library


def _run(command: list[str]) -> str:
    result = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if result.returncode != 0:
        first = next((line for line in result.stderr.splitlines() if "error" in line), "no message")
        raise BuildError(f"{command[0]} failed with status {result.returncode}: {first.strip()}")
    return result.stdout


@cache
def _version(command: str) -> str:
    return _run([command, "--version"])


@cache
def _processor() -> str:
    """Name the instructions that -march=native stands for."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    keys = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(keys)}))
