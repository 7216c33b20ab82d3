"""Networks in C, compiled and run: what the tests of the export share."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch

STRICT = "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror"
COMPILERS = [
    pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"no {name}"))
    for name in ("gcc", "clang")
]
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")


def constants(folder, prefix="QSNN"):
    """The numbers that the header defines."""
    text = (folder / "network.h").read_text()
    return {k: int(v) for k, v in re.findall(rf"#define {prefix}_(\w+) \(?(-?\d+)\)?", text)}


def build(folder, compiler="gcc", flags=("-O1",)):
    """Compile main.c and network.c, without a warning."""
    program = folder / "program"
    sources = folder / "main.c", folder / "network.c"
    result = subprocess.run(
        [compiler, *STRICT, *flags, "-o", program, *sources], capture_output=True, text=True
    )
    if result.returncode != 0 and "san" in result.stderr and "cannot find" in result.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert result.returncode == 0, result.stderr
    return program


def as_bytes(integer, frames):
    """Frames [T, N, ...] as the program reads them, sample by sample."""
    low, high = integer.input.low, integer.input.high
    narrow = (
        "<u1" if low >= 0 and high < 256 else "<i2" if -(2**15) <= low <= high < 2**15 else "<i4"
    )
    return integer.quantize(frames).transpose(0, 1).contiguous().numpy().astype(narrow).tobytes()


def answers(integer, frames, program):
    """Classes [N] and summed answers [N, K] of a compiled network."""
    result = subprocess.run(
        [program, str(len(frames)), "sums"],
        input=as_bytes(integer, frames),
        capture_output=True,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert result.returncode == 0, result.stderr.decode()[-2000:]
    rows = torch.from_numpy(
        np.array([line.split() for line in result.stdout.splitlines()], np.int64)
    )
    return rows[:, 0], rows[:, 1:]


def assert_equal_in_c(integer, frames, folder, **how):
    """Hold the C against the reference, after each step."""
    integer.to_c(folder)
    program = build(folder, **how)
    expected = integer(frames)[0].flatten(2).cumsum(0)
    for step in range(1, len(frames) + 1):
        classes, sums = answers(integer, frames[:step], program)
        assert torch.equal(sums, expected[step - 1])
        assert torch.equal(classes, expected[step - 1].argmax(1))
