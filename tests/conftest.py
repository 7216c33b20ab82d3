"""What all tests share."""

import itertools
import os
import signal
from collections import defaultdict
from pathlib import Path

import hypothesis
import pytest

# a process that collects results imports the classes of their warnings, and torchvision with them
import qsnn_plugins  # noqa: F401

# nothing fails because the machine is busy
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")
# a shell has what it starts in the background ignore Ctrl-C; commands inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# one cache of kernels for all tests and processes of a checkout; commands inherit it
os.environ.setdefault("QSNN_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "kernels"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of tests marked `covering`, make slow what brings no new values of parameters."""
    known = defaultdict(set)
    for item in items:
        marker = item.get_closest_marker("covering")
        if marker is None:
            continue
        values = [(name, id(value)) for name, value in item.callspec.params.items()]
        new = {*itertools.combinations(values, *marker.args)} - known[item.function]
        known[item.function] |= new
        if not new:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def unpickling_as_before(monkeypatch):
    """Take back what a run on the command line sets for its process: no unpickling."""
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")
