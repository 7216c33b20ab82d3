"""The CUDA kernel through CuPy and NVRTC, as on a machine with a GPU: `make nvrtc`.

CuPy of CUDA 12 and of CUDA 13 exclude each other, so that each has an environment of its own,
which holds neither torch nor this package.
"""

import json
import subprocess
from pathlib import Path

import pytest

from qsnn_plugins.ops.quantized_lif import Parameters, cupy
from qsnn_plugins.spec import MembraneSpec
from tests.ops.quantized_lif.cases import TYPES
from tests.ops.quantized_lif.variants import (
    KERNELS,
    TARGETS,
    flags_of,
    kernels,
    variants,
)

ROOT = Path(__file__).parents[3]
MANY_LEVELS = MembraneSpec(kind="threshold_centred", bits=8)


def python_of(cuda):
    return ROOT / f".venv-{cuda}" / "bin" / "python"


@pytest.fixture(params=["cuda12", "cuda13"])
def compile_all(request):
    """A function that builds kernels with CuPy for the GPUs of `TARGETS`."""
    python = python_of(request.param)
    if not python.exists():
        pytest.skip(f"there is no {python.parents[1].name} with CuPy: make nvrtc")

    def run(flags, source=None, targets=TARGETS):
        asked = {"source": source or cupy.source(), "flags": flags, "targets": targets}
        script = Path(__file__).with_name("nvrtc.py")
        given, command = json.dumps(asked), [str(python), str(script)]
        result = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        said = json.loads(result.stdout)
        assert said["nvrtc"].startswith(f"{request.param[4:]}.")
        return said["results"]

    # what CUDA 12 builds for one GPU, CUDA 13 builds for the other
    run.targets = TARGETS if request.param == "cuda12" else TARGETS[::-1]
    return run


def names_in(binary):
    """The kernels whose code an ELF file has."""
    return {name for name in KERNELS if f".text.{name}\0".encode() in binary}


@pytest.mark.slow
def test_cupy_builds_every_kind_of_neuron(compile_all):
    named = {flags: name for name, flags in variants()}
    named[flags_of(Parameters(MANY_LEVELS), TYPES[0])] = "256 levels"
    flags = list(named)
    for i, target in enumerate(compile_all.targets):
        part = flags[i::2]
        results = compile_all([(*each, "--ptxas-options=-v") for each in part], targets=[target])
        for name, result in zip(map(named.get, part), results, strict=True):
            _check(name, target, result)


def _check(name, target, result):
    assert "error" not in result, f"{name}, sm_{target}: {result['error']}"
    binary = bytes.fromhex(result["binary"])
    assert binary.startswith(b"\x7fELF"), f"{name}, sm_{target}"
    assert names_in(binary) == KERNELS, f"{name}, sm_{target}"
    assert {"-ftz=true", f"-arch=sm_{target}"} < set(result["options"])
    found = list(kernels(result["log"]))
    assert {kernel for kernel, *_ in found} == KERNELS, result["log"]
    assert not any(spilled for *_, spilled in found), f"{name}, sm_{target}: {found}"


def test_what_cannot_be_built_is_an_error(compile_all):
    flags = flags_of(Parameters(), TYPES[0])
    broken = cupy.source().replace("run_backward<1>(call)", "run_backward<1>(no_call)")
    assert broken != cupy.source()
    for result in compile_all([flags], broken):
        assert 'identifier "no_call" is undefined' in result["error"]
