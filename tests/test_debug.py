import os
import subprocess
import sys

import pytest
import torch

from qsnn_plugins.debug import debugging, is_debugging
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import clip_membrane, nearest_level, pruned_level, uniform_membrane

QUANTIZERS = [nearest_level, pruned_level, clip_membrane, uniform_membrane]


@pytest.mark.parametrize("quantize", QUANTIZERS)
def test_a_nan_travels_on_by_default_and_raises_in_debug_mode(quantize):
    u = torch.tensor([0.0, float("nan"), float("nan")])
    with debugging(False):
        assert quantize(u).isnan().tolist() == [False, True, True]
    with debugging(), pytest.raises(ArgumentError, match="u='2 NaN among 3 values' is not allowed"):
        quantize(u)
    with debugging():
        quantize(torch.tensor([0.0, float("inf")]))


def test_debug_mode_ends_with_its_block_even_after_an_error():
    before = is_debugging()
    with debugging(not before):
        assert is_debugging() is not before
    assert is_debugging() is before
    with pytest.raises(ZeroDivisionError), debugging(not before):
        1 / 0  # noqa: B018
    assert is_debugging() is before


@pytest.mark.parametrize("value", ["0", "1"])
def test_the_environment_turns_it_on(value):
    code = "from qsnn_plugins.debug import is_debugging; print(int(is_debugging()))"
    environment = {**os.environ, "QSNN_DEBUG": value}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == value
