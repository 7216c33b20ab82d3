"""What a machine with a GPU runs where torch and pytest are, but none of the hosts or Lightning."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # processes
ROOT = Path(__file__).parents[3]
ABSENT = ("spikingjelly", "snntorch", "lightning", "torchmetrics", "torchvision", "jsonargparse")
ABSENT += ("rich", "yaml", "safetensors", "PIL", "cupy")
CODE = f"""
import runpy, sys
sys.modules |= dict.fromkeys({ABSENT}, None)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def run(*module_and_arguments):
    """A module as `python -m` runs it, where none of `ABSENT` is installed and there is no GPU."""
    command = [sys.executable, "-c", CODE, *module_and_arguments]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_what_is_here_is_said():
    result = run("tests.gpu")
    assert result.returncode == 1
    assert "cupy is absent, triton" in result.stdout
    assert "spikingjelly is absent, snntorch is absent" in result.stdout
    assert "torch sees no CUDA device" in result.stdout


def test_the_tests_of_a_gpu_are_skipped_with_a_reason():
    result = run("pytest", "-m", "gpu", "-rs", "tests/ops/quantized_lif", "-p", "no:cacheprovider")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "there is no CUDA device" in result.stdout
    assert "passed" not in result.stdout
    assert "error" not in result.stdout


def test_the_benchmark_says_what_it_lacks():
    result = run("tests.benchmarks.quantized_lif_gpu")
    assert result.returncode == 2
    assert "there is no CUDA device" in result.stderr
