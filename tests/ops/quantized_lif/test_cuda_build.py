"""kernel.cu through NVIDIA's compiler, which needs no GPU: it compiles, and nothing spills.

One neuron of each kind of store, gradient, reset and spike in one type, and the commonest in all.
QSNN_EVERY_VARIANT=1 compiles every case in every type instead, which takes 8 minutes on two cores.
"""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from qsnn_plugins.ops.quantized_lif import Parameters, cupy
from qsnn_plugins.ops.quantized_lif.schema import kernel
from tests.ops.quantized_lif.cases import CASES, LEARNED
from tests.toolchain import NVCC, needs_nvcc

pytestmark = needs_nvcc

TYPES = (torch.float32, torch.float16, torch.bfloat16)
TARGETS = ("80", "90")
# CuPy builds with flushed denormals, whatever it is asked for
FLAGS = ("-fatbin", "-ftz=true", "-Xptxas", "-v", "-Werror", "all-warnings")
KINDS = ("STORE", "SLOPE", "SLOPE_SHAPE", "LEVEL_COUNT", "MIRRORED", "SCALE", "SCALE_LEARNS")
KINDS += ("RESET_IS_LATE", "GREATEST_SPIKE")


def flags_of(parameters, dtype, per_channel=False, **choices):
    """Flags of a neuron's build."""
    variant, numbers = parameters.variant(**choices), tuple(parameters.numbers())
    return cupy.flags(kernel(variant, numbers, dtype, per_channel))


def case_flags(number, dtype, packs=False):
    case = CASES[number]
    learns = case.has_scale and case.membrane.scale == "learned"
    return flags_of(case, dtype, number % 4 == 0, scale_learns=learns, packs=packs)


def packs(number):
    return cupy.packs(torch.empty(100, 1, device="meta"), CASES[number])


def kind(flags):
    return tuple(flag for flag in flags if flag[7:].partition("=")[0] in KINDS)


def variants():
    """Flags of what is compiled, by a name."""
    if os.environ.get("QSNN_EVERY_VARIANT"):
        for number in range(len(CASES)):
            for dtype in TYPES:
                for packed in {False, packs(number)}:
                    yield f"{number}-{dtype}-{packed}", case_flags(number, dtype, packed)
        return
    commonest = Parameters(threshold=LEARNED)
    for dtype in TYPES:
        for packed in (False, True):
            flags = flags_of(commonest, dtype, packs=packed)
            yield f"commonest-{dtype}-{packed}", flags
    seen = {}
    for number in range(len(CASES)):
        dtype = TYPES[len(seen) % 3]
        flags = case_flags(number, dtype)
        if seen.setdefault(kind(flags), number) == number:
            yield f"{number}-{dtype}", flags


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """What the compiler says of every variant, by its name."""
    folder = tmp_path_factory.mktemp("cuda")
    (folder / "kernel.cu").write_text(cupy.source())
    targets = [f"--generate-code=arch=compute_{each},code=sm_{each}" for each in TARGETS]

    def build(variant):
        name, flags = variant
        command = [NVCC, *FLAGS, *targets, *flags, "kernel.cu", "-o", f"{name}.fatbin"]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        return name, (result.returncode, result.stderr)

    distinct = {flags: name for name, flags in variants()}
    with ThreadPoolExecutor(2) as workers:
        return dict(workers.map(build, ((name, flags) for flags, name in distinct.items())))


def kernels(said):
    """Of each kernel and target: its registers, and the bytes that it spills or keeps in memory."""
    pattern = (
        r"entry function '(\w+)' for 'sm_(\d+)'.*?"
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?"
        r"Used (\d+) registers"
    )
    for name, target, stack, *spills, registers in re.findall(pattern, said, re.DOTALL):
        yield name, target, int(registers), int(stack) + sum(map(int, spills))


@pytest.mark.slow
def test_every_variant_compiles_without_spills(built):
    for name, (status, said) in built.items():
        assert status == 0, f"{name}: {said}"
        found = list(kernels(said))
        assert len(found) == 5 * len(TARGETS), f"{name}: {said}"
        print(name, *(f"{kernel}:{target}:{used}" for kernel, target, used, _ in found))
        spilled = [kernel for kernel in found if kernel[3]]
        assert not spilled, f"{name}: {spilled}"


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("packed", [False, True])
def test_memory_is_read_and_written_16_bytes_at_once(dtype, packed, tmp_path):
    (tmp_path / "kernel.cu").write_text(cupy.source())
    flags = flags_of(Parameters(), dtype, packs=packed)
    command = [NVCC, "-ptx", "-arch=sm_80", *flags, "kernel.cu", "-o", "kernel.ptx"]
    subprocess.run(command, cwd=tmp_path, check=True)
    text = (tmp_path / "kernel.ptx").read_text()
    bodies = re.findall(r"\.entry qsnn_\w+_vector\(.*?\n}", text, re.DOTALL)
    assert len(bodies) == 2
    for body in bodies:
        assert set(re.findall(r"st\.global\.\w+", body)) == {"st.global.v4"}
        loads = re.findall(r"ld\.global(?:\.nc)?\.(\w+)", body)
        assert loads.count("v4") > 3
        assert len(loads) - loads.count("v4") <= 3, "a threshold, and a membrane for all"


def test_the_check_sees_a_spill(tmp_path):
    text = cupy.source().replace("int RESIDENT = 3", "int RESIDENT = 12")
    (tmp_path / "kernel.cu").write_text(text)
    flags = flags_of(CASES[4], torch.float16)
    command = [NVCC, *FLAGS, "-arch=sm_80", *flags, "kernel.cu", "-o", "out"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert sum(spilled for *_, spilled in kernels(result.stderr)) > 0, result.stderr
