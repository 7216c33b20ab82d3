"""`kernel.cu` built for the CPU, in place of CuPy: see emulated_gpu.h."""

import ctypes
from functools import cache
from pathlib import Path

from qsnn_plugins.ops import compiler
from qsnn_plugins.ops.quantized_lif import cupy
from qsnn_plugins.ops.quantized_lif.schema import FOLDER as SOURCES

FOLDER = Path(__file__).parent
FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-shared", "-fPIC")

folder = SOURCES  # of kernel.cu
backwards = False  # whether the last thread of the last block runs first


@cache
def library(flags, folder):
    """The library of a neuron; what only CUDA's compiler knows is left out of its flags."""
    defines = [flag for flag in flags if flag.startswith("-D")]
    parts = FOLDER / "emulated_gpu.h", *(folder / name for name in cupy.FILES)
    own = *FLAGS, f"-I{FOLDER}", f"-I{folder}", *defines
    built = ctypes.CDLL(str(compiler.build(FOLDER / "emulated.cpp", own, parts)))
    built.emulate.restype = built.size_of_call.restype = ctypes.c_longlong
    return built


def launch(name, flags, blocks, shared, call, device):
    """Stand in for `cupy.launch`."""
    assert device.type == "cpu"
    built = library(flags, folder)
    assert len(call) == built.size_of_call(), "schema.Call and its numbers are Launch of lanes.h"
    sizes = (ctypes.c_longlong(value) for value in (blocks, shared, backwards))
    kernel = ctypes.cast(getattr(built, name), ctypes.c_void_p)
    waiting = built.emulate(kernel, *sizes, ctypes.create_string_buffer(call, len(call)))
    if waiting:
        raise RuntimeError(f"{waiting} threads of a block wait for the others")
