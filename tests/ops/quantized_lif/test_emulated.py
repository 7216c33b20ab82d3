"""The GPU's kernel against its reference, on an emulated GPU."""

import os
import shutil

import pytest
import torch

from qsnn_plugins.ops.quantized_lif import Parameters, cpp, cupy, launch
from tests.ops.quantized_lif import emulation
from tests.ops.quantized_lif.cases import CASES, LEARNED, NAMES, SEPARATE, UNIFORM, inputs, run

COMPILER = shutil.which(os.environ.get("CXX", "g++"))
pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")

@pytest.fixture(autouse=True)
def _emulated(monkeypatch):
    """Let the operators of the CPU run the GPU's code; fresh memory is NaN."""
    monkeypatch.setattr(launch, "launch", emulation.launch)
    monkeypatch.setattr(cpp, "forward", lambda given, plain: cupy.forward(given, True, plain))
    monkeypatch.setattr(cpp, "backward", cupy.backward)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)

@pytest.mark.parametrize("parameters", CASES, ids=NAMES)
@pytest.mark.parametrize("shape", [(5, 3, 7, 11),(5,3,7,12)])
def test_equals_the_reference(parameters, shape):
    x_seq, v = inputs(shape)
    if parameters.decay_input:
        x_seq *= 2
    ours, theirs = (run(parameters, x_seq, v, 0.75, name) for name in ("cpp", "reference"))
    for a,b in zip(ours[:3],theirs[:3], strict=True):
        assert torch.equal(a,b)
    for a,b in zip(ours[3:],theirs[3:], strict=True):
        torch.testing.assert_close(a,b,rtol=1e-5,atol=1e-5)
