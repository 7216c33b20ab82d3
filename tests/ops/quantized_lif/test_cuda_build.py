"""kernel.cu through NVIDIA's compiler, which needs no GPU: it compiles, and nothing spills.

QSNN_EVERY_VARIANT=1 compiles every case in every type, which takes 8 minutes on two cores.
"""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from qsnn_plugins.ops.quantized_lif import Parameters, cupy
from tests.ops.quantized_lif.cases import CASES, TYPES
from tests.ops.quantized_lif.variants import KERNELS, TARGETS, flags_of, kernels, variants
from tests.toolchain import NVCC, needs_nvcc

pytestmark = needs_nvcc

# CuPy builds with flushed denormals, whatever it is asked for
FLAGS = ("-fatbin", "-ftz=true", "-Xptxas", "-v", "-Werror", "all-warnings")


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
    if not os.environ.get("QSNN_EVERY_VARIANT"):  # test_nvrtc builds all kinds
        distinct = dict(list(distinct.items())[::3])
    with ThreadPoolExecutor(2) as workers:
        return dict(workers.map(build, ((name, flags) for flags, name in distinct.items())))


@pytest.mark.slow
def test_every_variant_compiles_without_spills(built):
    for name, (status, said) in built.items():
        assert status == 0, f"{name}: {said}"
        found = list(kernels(said))
        assert len(found) == len(KERNELS) * len(TARGETS), f"{name}: {said}"
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
