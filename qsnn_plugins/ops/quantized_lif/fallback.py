"""What runs on a GPU in place of its kernel, which covers no masks and not every leak."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import Literal

import torch

__all__ = ["LONGEST", "instead"]

# The compiler unrolls the steps, and takes seconds for each.
LONGEST = 32


def instead(device_type: str, steps: int) -> tuple[Literal["compiled", "reference"], str]:
    """Return what runs in the kernel's place, and why it is not compiled, or "".

    By reasoning, not by measurement: each of the twenty-odd operations of a step of the loop moves
    the membranes of all neurons through memory, and compiled, what lies between two reductions is
    one kernel. On the CPU the loop was as fast, and its kernel covers almost all. The rows of
    `tests.benchmarks.quantized_lif_gpu` that are named after the reference decide it on a GPU.

    Args:
        device_type: "cuda" or "cpu".
        steps: T.

    Example:
        >>> instead("cpu", 4)
        ('reference', '')
    """
    # inside torch.compile there is nothing left to compile
    if device_type != "cuda" or torch.compiler.is_compiling():
        return "reference", ""
    if steps > LONGEST:
        return "reference", f"{steps} steps are too many to compile"
    missing = _missing()
    return ("reference", missing) if missing else ("compiled", "")


def _missing() -> str:
    """What torch.compile lacks to build for a GPU, or ""."""
    if importlib.util.find_spec("triton") is None:
        return "there is no Triton to compile it"
    if not os.environ.get("CC") and not any(map(shutil.which, ("gcc", "clang"))):
        return "Triton finds no C compiler"
    return ""
