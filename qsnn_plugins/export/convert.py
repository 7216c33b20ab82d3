"""From a trained network to one of integers."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.export.network import IntegerNetwork
from qsnn_plugins.export.trace import trace

__all__ = ["to_integer"]

_PIXEL = 1 / 255


def to_integer(
    network: nn.Module, example_input: Tensor, input_unit: float | None = None
) -> IntegerNetwork:
    """Return the network as integers."""
    if not example_input.is_floating_point():
        example_input = example_input.float()
    parameter = next(network.parameters(), example_input)
    network = copy.deepcopy(network).eval()
    unit, low, high = _grid(example_input, input_unit)
    x = example_input.to(parameter.dtype)
    return IntegerNetwork(tuple(trace(network, x, unit, low, high)))


def _grid(x: Tensor, unit: float | None) -> tuple[float, int, int]:
    if unit is None:
        unit = next((u for u in (1.0, _PIXEL) if _fits(x, u)), None)
    if unit is None:
        greatest = float(x.abs().max())
        unit = 2.0 ** -(14 - max(0, int(greatest).bit_length()))
    if not unit > 0:
        raise ArgumentError("input_unit", unit, "a number above 0")
    whole = (x.double() / unit).round()
    if float(whole.min()) >= 0:
        return unit, 0, 255
    return unit, -(2**15), 2**15 - 1


def _fits(x: Tensor, unit: float) -> bool:
    whole = x.double() / unit
    near = (whole - whole.round()).abs() < 1e-4
    return bool(near.all()) and 0 <= float(whole.min()) and float(whole.max()) <= 255
