"""Signals that ask for a stop: the first, its echo, and the second."""

import signal
from types import SimpleNamespace

import pytest

from qsnn_plugins import stopping
from qsnn_plugins.stopping import Stopped, StopRequest


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_an_echo_of_sigterm_is_no_second_signal(signum, monkeypatch):
    clock = SimpleNamespace(monotonic=iter([10.0, 10.5, 13.0]).__next__)
    monkeypatch.setattr(stopping, "time", clock)
    request = StopRequest()
    request._receive(signum, None)
    if signum is signal.SIGTERM:  # to the group, and once more by the parent
        request._receive(signum, None)
    with pytest.raises(Stopped):
        request._receive(signum, None)
    assert request.signum is signum
