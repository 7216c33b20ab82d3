"""Rules for SpikingJelly's operation counters, for inputs other than 0 and 1.

The host's counters distinguish two kinds of layer inputs: spikes of 0 and 1, which cost one
accumulation per weight that they reach, and everything else, which costs one multiply-accumulate
per weight. A ternary spike adds or subtracts a weight, and an S-bit spike adds it once, shifted,
for each 1 among its bits. Neither needs a multiplication. As in the host's counters, either factor
of a product can avoid the multiplication, so a weight with few levels can, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from spikingjelly.activation_based.op_counter import ACCounter, MACCounter
from torch import Tensor

from qsnn_plugins.functional.scale import check_bits

__all__ = ["accumulate_rules", "additions", "multiply_rules"]

Rule = Callable[[tuple[Any, ...], dict[str, Any], Any], int]

_aten = torch.ops.aten
_CONV = _aten.convolution.default
# where the two factors of each product stand among the arguments
_PRODUCTS = {
    _aten.mm.default: 0,
    _aten.addmm.default: 1,
    _aten.bmm.default: 0,
    _aten.baddbmm.default: 1,
    _CONV: 0,
}


def additions(x: Tensor, bits: int) -> Tensor | None:
    """Additions per element of a factor and per element of the other factor that it meets.

    x = u k, with one unit u for the tensor and integers |k| < 2^bits, needs as many additions as
    |k| has bits that are 1; the unit is a constant factor of the layer.

    Args:
        x: Input of a layer, any shape.
        bits: Greatest width of |k|, from 1 to 8; 1 is ternary.

    Returns:
        Counts in the shape of `x`; None if x is not such a tensor.

    Raises:
        ArgumentError: If `bits` is not allowed.

    Example:
        >>> additions(torch.tensor([0.0, 0.5, -1.0, 1.5]), bits=2)
        tensor([0., 1., 1., 2.])
        >>> additions(torch.tensor([0.1, 0.77, 0.5]), bits=2) is None
        True
    """
    check_bits("bits", bits)
    magnitude = x.detach().abs().double()
    if x.numel() == 0 or not bool(magnitude.any()):
        return torch.zeros_like(x, dtype=torch.float32)
    values = magnitude.unique()
    if len(values) > 2**bits or not bool(values.isfinite().all()):
        return None
    least = values[values > 0][0]
    tolerance = 4 * torch.finfo(x.dtype).eps if x.is_floating_point() else 0.0
    for divisor in range(1, 2**bits):  # the least that occurs may be a multiple of the unit
        codes = (magnitude / least * divisor).round()
        is_grid = ((codes * least / divisor - magnitude).abs() <= tolerance * magnitude).all()
        if bool(is_grid) and bool((codes < 2**bits).all()):
            places = torch.arange(bits, device=x.device)
            return (codes.long().unsqueeze(-1) >> places & 1).sum(-1).float()
    return None


def accumulate_rules(bits: int = 2) -> dict[Any, Rule]:
    """Rules for `SynOpCounter` and `ACCounter`: signed inputs of `bits` bits are accumulated.

    Inputs of 0 and 1, and inputs that are not multiples of one unit, follow the host's own rules.

    Args:
        bits: Greatest width of an input, from 1 to 8; 1 is ternary.

    Returns:
        `extra_rules` for a counter.

    Raises:
        ArgumentError: If `bits` is not allowed.

    Example:
        >>> from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter
        >>> counter = SynOpCounter(extra_rules=accumulate_rules(bits=2))
        >>> with DispatchCounterMode([counter]):
        ...     _ = torch.tensor([[0.0, 1.0, -1.0, 3.0]]) @ torch.rand(4, 10)
        >>> counter.get_total()  # (1 + 1 + 2) x 10
        40
    """
    check_bits("bits", bits)
    host = ACCounter().rules
    return {op: _accumulate(host[op], op, bits) for op in _PRODUCTS}


def multiply_rules(bits: int = 2) -> dict[Any, Rule]:
    """Rules for `MACCounter`: signed inputs of `bits` bits need no multiplications.

    Args:
        bits: Greatest width of an input, from 1 to 8; 1 is ternary.

    Returns:
        `extra_rules` for a counter.

    Raises:
        ArgumentError: If `bits` is not allowed.

    Example:
        >>> from spikingjelly.activation_based.op_counter import DispatchCounterMode, MACCounter
        >>> counter = MACCounter(extra_rules=multiply_rules(bits=2))
        >>> with DispatchCounterMode([counter]):
        ...     _ = torch.tensor([[0.0, 1.0, -1.0, 3.0]]) @ torch.rand(4, 10)
        >>> counter.get_total()
        0
    """
    check_bits("bits", bits)
    host = MACCounter().rules
    return {op: _multiply(host[op], op, bits) for op in _PRODUCTS}


def _multiply(host: Rule, op: Any, bits: int) -> Rule:
    def rule(args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
        count = int(host(args, kwargs, out))
        if count == 0:
            return 0
        factors = args[_PRODUCTS[op] : _PRODUCTS[op] + 2]
        return 0 if any(additions(factor, bits) is not None for factor in factors) else count

    return rule


def _accumulate(host: Rule, op: Any, bits: int) -> Rule:
    def rule(args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
        count = int(host(args, kwargs, out))
        if count > 0:  # one of the factors is 0 and 1
            return count
        x, y = args[_PRODUCTS[op] : _PRODUCTS[op] + 2]
        ones = additions(x, bits)
        if ones is not None:
            return _reached(ones, args) if op is _CONV else _total(ones) * y.shape[-1]
        ones = additions(y, bits)
        if ones is None:
            return 0
        if op is _CONV:
            positions = x if args[6] else out
            return _total(ones) * positions.shape[0] * math.prod(positions.shape[2:])
        return _total(ones) * x.shape[-2]

    return rule


def _total(ones: Tensor) -> int:
    return int(ones.sum(dtype=torch.float64).item())


def _reached(ones: Tensor, args: tuple[Any, ...]) -> int:
    """Additions of a convolution: each input's, once for each weight that it reaches."""
    _, weight, _, stride, padding, dilation, transposed, output_padding, groups = args[:9]
    with torch.no_grad():
        reached = _CONV(
            ones.double(),
            torch.ones_like(weight, dtype=torch.float64),
            None,
            stride,
            padding,
            dilation,
            transposed,
            output_padding,
            groups,
        )
    return _total(reached)
