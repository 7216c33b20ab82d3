"""`kernel.cu` built for the CPU, in place of CuPy: see emulated_gpu.h."""

import ctypes
from functools import cache
from pathlib import Path

from qsnn_plugins.ops import compiler
from qsnn_plugins.ops.quantized_lif import launch as cuda

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "emulated.cpp"
PARTS = (FOLDER / "emulated_gpu.h", *(cuda.FOLDER / name for name in cuda.FILES))
FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-shared", "-fPIC")


@cache
def library(choices):
    """The library of a neuron; what only CUDA's compiler knows is left out of its flags."""
    defines = tuple(flag for flag in choices if flag.startswith("-D"))
    folders = f"-I{FOLDER}", f"-I{cuda.FOLDER}"
    built = ctypes.CDLL(str(compiler.build(SOURCE, (*FLAGS, *folders, *defines), PARTS)))
    built.emulate.restype = ctypes.c_bool
    built.size_of_call.restype = ctypes.c_size_t
    return built


def launch(name, choices, blocks, shared, call, device):
    """Stand in for `launch.launch`."""
    assert device.type == "cpu"
    built = library(choices)
    assert len(call) == built.size_of_call(), "launch.Call is Call of lanes.h"
    sizes = ctypes.c_longlong(blocks), ctypes.c_longlong(shared)
    pointer = ctypes.cast(getattr(built, name), ctypes.c_void_p)
    assert built.emulate(pointer, *sizes, ctypes.create_string_buffer(call, len(call)))
