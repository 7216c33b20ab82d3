"""The GPU's corrected quotient is division, bit by bit: see quotient.cpp."""

import shutil
import subprocess

import pytest
import torch

from qsnn_plugins.ops.quantized_lif import Parameters
from qsnn_plugins.ops.quantized_lif.schema import FOLDER, kernel
from qsnn_plugins.spec import MembraneSpec
from tests.ops.quantized_lif import emulation
from tests.toolchain import COMPILER, needs_compiler

pytestmark = [needs_compiler, pytest.mark.slow]

# for multiply-add in one instruction, which is ten times as fast as a function
FLAGS = ("-std=c++17", "-O2", "-march=native", "-ffp-contract=off", "-DQSNN_BLOCK=32")


def compared(folder, program):
    """Pairs that were compared and that differ: hardest, codes over their greatest, any numbers."""
    neuron = Parameters(MembraneSpec(kind="uniform", bits=8))
    variant = kernel(neuron.variant(), tuple(neuron.numbers()), torch.float32, False)
    source = emulation.FOLDER / "quotient.cpp"
    own = *FLAGS, *variant.flags, f"-I{folder}", f"-I{emulation.FOLDER}"
    subprocess.run([*COMPILER, *own, str(source), "-o", str(program)], check=True)
    said = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    return [tuple(map(int, line.split())) for line in said.splitlines()]


def test_it_is_division(tmp_path):
    hardest, codes, others = compared(FOLDER, tmp_path / "program")
    assert hardest[0] > 9e7
    assert codes[0] == sum(2 * greatest + 1 for greatest in range(1, 128)) + 2
    assert others[0] > 1e7
    assert (hardest[1], codes[1], others[1]) == (0, 0, 0)


def test_without_the_correction_it_is_not(tmp_path):
    folder = shutil.copytree(FOLDER, tmp_path / "changed")
    text, correction = (folder / "neuron.h").read_text(), "fmaf(fmaf(b, q, -a), -y, q)"
    assert text.count(correction) == 1
    (folder / "neuron.h").write_text(text.replace(correction, "q"))
    assert all(different > 0 for _, different in compared(folder, tmp_path / "program"))
