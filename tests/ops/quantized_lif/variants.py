"""Kinds of neuron that NVIDIA's compilers are tried on, as flags of the CUDA kernel's build.

One neuron of each kind of store, gradient, reset and spike in one type, and the commonest in all.
QSNN_EVERY_VARIANT=1 takes every case in every type instead.
"""

import os
import re

import torch

from qsnn_plugins.ops.quantized_lif import Parameters, cupy
from qsnn_plugins.ops.quantized_lif.schema import kernel
from tests.ops.quantized_lif.cases import CASES, LEARNED, TYPES

TARGETS = ("80", "90")
KERNELS = {
    f"qsnn_{way}_{width}" for way in ("forward", "backward") for width in ("vector", "scalar")
}
KINDS = ("STORE", "SLOPE", "SLOPE_SHAPE", "LEVEL_COUNT", "MIRRORED", "SCALE", "SCALE_LEARNS")
KINDS += ("RESET_IS_LATE", "GREATEST_SPIKE")


def flags_of(parameters, dtype, per_channel=False, **choices):
    """Flags of a neuron's build."""
    variant, numbers = parameters.variant(**choices), tuple(parameters.numbers())
    return cupy.flags(kernel(variant, numbers, dtype, per_channel))


def variants():
    """Flags of what is compiled, by a name."""
    if os.environ.get("QSNN_EVERY_VARIANT"):
        for number in range(len(CASES)):
            for dtype in TYPES:
                for packed in {False, _packs(number)}:
                    yield f"{number}-{dtype}-{packed}", _case_flags(number, dtype, packed)
        return
    commonest = Parameters(threshold=LEARNED)
    for dtype in TYPES:
        for packed in (False, True):
            flags = flags_of(commonest, dtype, packs=packed)
            yield f"commonest-{dtype}-{packed}", flags
    seen = {}
    for number in range(len(CASES)):
        dtype = TYPES[len(seen) % 3]
        flags = _case_flags(number, dtype)
        if seen.setdefault(_kind(flags), number) == number:
            yield f"{number}-{dtype}", flags


def kernels(said):
    """Of each kernel and target: its registers, and the bytes that it spills or keeps in memory."""
    pattern = (
        r"entry function '(\w+)' for 'sm_(\d+)'.*?"
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?"
        r"Used (\d+) registers"
    )
    for name, target, stack, *spills, registers in re.findall(pattern, said, re.DOTALL):
        yield name, target, int(registers), int(stack) + sum(map(int, spills))


def _case_flags(number, dtype, packs=False):
    case = CASES[number]
    learns = case.has_scale and case.membrane.scale == "learned"
    return flags_of(case, dtype, number % 4 == 0, scale_learns=learns, packs=packs)


def _packs(number):
    return cupy.packs(torch.empty(100, 1, device="meta"), CASES[number])


def _kind(flags):
    return tuple(flag for flag in flags if flag[7:].partition("=")[0] in KINDS)
