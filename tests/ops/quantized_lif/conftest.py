"""What the tests of the kernels share."""

import pytest
import torch


@pytest.fixture
def fresh_memory_is_nan():
    """Makes what a kernel leaves out visible."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
