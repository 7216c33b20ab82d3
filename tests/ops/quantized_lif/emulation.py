"""`kernel.cu` built for the CPU, in place of CuPy: see emulated_gpu.h.

`python -m tests.ops.quantized_lif.emulation FOLDER` runs the kernel of a folder over odd shapes,
built so that AddressSanitizer stops it at the first access beyond a tensor.
"""

import ctypes
import sys
from functools import cache
from pathlib import Path

import torch

from qsnn_plugins.ops import compiler
from qsnn_plugins.ops.quantized_lif import Parameters, cupy
from qsnn_plugins.ops.quantized_lif.schema import FOLDER as SOURCES
from qsnn_plugins.ops.quantized_lif.schema import Inputs
from qsnn_plugins.spec import MembraneSpec
from tests.ops.quantized_lif.cases import LATE, LEARNED, UNIFORM, inputs

FOLDER = Path(__file__).parent
FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-shared", "-fPIC")

folder = SOURCES  # of kernel.cu
backwards = False  # whether the last thread of the last block runs first
sanitizers = ()  # flags
atomics = []  # how many each launch took


@cache
def library(flags, folder):
    """The library of a neuron; what only CUDA's compiler knows is left out of its flags."""
    defines = [flag for flag in flags if flag.startswith("-D")]
    parts = FOLDER / "emulated_gpu.h", *(folder / name for name in cupy.FILES)
    own = *FLAGS, *sanitizers, f"-I{FOLDER}", f"-I{folder}", *defines
    built = ctypes.CDLL(str(compiler.build(FOLDER / "emulated.cpp", own, parts)))
    for function in (built.emulate, built.size_of_call, built.atomics):
        function.restype = ctypes.c_longlong
    return built


def launch(name, flags, blocks, shared, calls, device):
    """Stand in for `cupy.launch`."""
    assert device.type == "cpu"
    built = library(flags, folder)
    sizes = [ctypes.c_longlong(value) for value in (blocks, shared, backwards)]
    kernel = ctypes.cast(getattr(built, name), ctypes.c_void_p)
    for call in calls:
        assert len(call) == built.size_of_call(), (
            "schema.Call and its numbers are Launch of lanes.h"
        )
        waiting = built.emulate(kernel, *sizes, ctypes.create_string_buffer(call, len(call)))
        atomics.append(built.atomics())
        if waiting < 0:
            raise RuntimeError(f"{-waiting} accesses are not aligned")
        if waiting:
            raise RuntimeError(f"{waiting} threads of a block wait for the others")


def main():
    """Run a few kinds of neuron over shapes that fill their blocks in part, from any memory."""
    global folder, sanitizers
    folder, sanitizers = Path(sys.argv[1]), ("-fsanitize=address", "-g")
    cupy.launch = launch
    neurons = [
        Parameters(threshold=LEARNED),
        Parameters(MembraneSpec(kind="float"), threshold=LEARNED, **LATE),
        Parameters(UNIFORM[2][0], scale="running"),
    ]
    runs = 0
    for neuron in neurons:
        for shape in ((1, 1), (3, 1, 517), (5, 3, 1404), (50, 2, 3, 202)):
            for is_aligned in (True, False):
                run(neuron, *(each if is_aligned else unaligned(each) for each in inputs(shape)))
                runs += 1
    print(runs)


def run(neuron, x_seq, v):
    """Run a neuron forward and backward."""
    one = torch.tensor(0.75)
    given = Inputs(x_seq, v, one, one, torch.tensor(True), one)
    variant = neuron.variant(packs=cupy.packs(x_seq, neuron))
    kernel = variant, tuple(neuron.numbers())
    _, last, _, *saved, _ = cupy.forward(given, *kernel)
    cupy.backward(x_seq, last, *saved, given, *kernel)


def unaligned(tensor):
    """A copy at the very end of memory that no vector of 16 bytes may be read from."""
    return tensor.new_empty(tensor.numel() + 1)[1:].view(tensor.shape).copy_(tensor)


if __name__ == "__main__":
    main()
