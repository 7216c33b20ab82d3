"""What all tests share."""

import os
from pathlib import Path

import pytest

# one cache of kernels for all tests and processes of a checkout; commands inherit it
os.environ.setdefault("QSNN_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "kernels"))


@pytest.fixture(autouse=True)
def unpickling_as_before(monkeypatch):
    """Take back what a run on the command line sets for its process: no unpickling."""
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")
