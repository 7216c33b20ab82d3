"""What `qsnn export` prints behind what it has compared and written."""

from unittest.mock import Mock

import torch

from qsnn_plugins.cli import exporting
from qsnn_plugins.export import IntegerNetwork, runtime
from qsnn_plugins.export.nodes import Input, Output
from qsnn_plugins.ops.compiler import BuildError


def test_an_export_without_a_compiler_is_not_timed(monkeypatch):
    monkeypatch.setattr(runtime, "library", Mock(side_effect=BuildError("there is no compiler")))
    ones, zeros = torch.ones(1, 2).long(), torch.zeros(2).long()
    image = Input("input", (), (2,), 0, 1, unit=1.0)
    integer = IntegerNetwork((image, Output("answer", (0,), (2,), 0, 1, ones, zeros, unit=1.0)))
    assert exporting._speed(integer, torch.zeros(3, 1, 2)) == "not timed: there is no compiler"
