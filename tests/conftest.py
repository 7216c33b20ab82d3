"""What all tests share."""

import pytest


@pytest.fixture(autouse=True)
def unpickling_as_before(monkeypatch):
    """Take back what a run on the command line sets for its process: no unpickling."""
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")
