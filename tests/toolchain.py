"""Compilers that some tests need. The package runs without them, on its reference, so these tests
are skipped where they are missing, and no others."""

import os
import shutil
import subprocess

import pytest

from qsnn_plugins.ops.compiler import BuildError, compiler


def found():
    """The C++ compiler's path and words, as the package finds them; none without a compiler."""
    try:
        return compiler()
    except BuildError:
        return ()


COMPILER = found()
NVCC = shutil.which("nvcc")
needs_compiler = pytest.mark.skipif(not COMPILER, reason="there is no C++ compiler")
needs_nvcc = pytest.mark.skipif(NVCC is None, reason="there is no nvcc")


def run_sanitized(source, flags, folder):
    """What a C++ program prints, built so that it stops at the first fault of memory or arithmetic.

    Some compilers come without the libraries of their sanitizers: the test is then skipped.
    """
    program = folder / "sanitized"
    sanitizers = "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
    command = [*COMPILER, "-std=c++17", "-O1", "-g", "-fopenmp", *sanitizers, *flags]
    built = subprocess.run(
        [*command, str(source), "-o", str(program)], capture_output=True, text=True, check=False
    )
    if built.returncode != 0 and "san" in built.stderr and "cannot find" in built.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    result = subprocess.run(
        [str(program)], capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout
