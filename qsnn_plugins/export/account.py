"""Bytes of an integer network, and its remaining multiplications."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from qsnn_plugins.export.nodes import (
    Convolution,
    Gather,
    Linear,
    Neuron,
    Node,
    Output,
    Rescale,
    WideNeuron,
)
from qsnn_plugins.functional.packing.bits import packed_bytes

__all__ = ["NodeAccount", "account", "code_bits", "integer_bytes", "level_bits", "only_shifts"]


@dataclass(frozen=True)
class NodeAccount:
    """One layer in whole bytes.

    Args:
        name: Its name.
        kind: What it is.
        weights: Bit-packed codes.
        bounds: Everything that replaces bias, normalization and threshold: bounds, factors, tables,
            orders.
        states: Bit-packed membranes of one sample.
        multiplications: Per sample and step.
    """

    name: str
    kind: str
    weights: int = 0
    bounds: int = 0
    states: int = 0
    multiplications: int = 0


def code_bits(node: Convolution | Linear) -> int:
    """Bits that one code takes."""
    return level_bits(node.levels)


def level_bits(levels: Sequence[int]) -> int:
    """Bits that one of so many levels takes.

    Example:
        >>> level_bits((-1, 0, 1))
        2
    """
    return max(1, (len(levels) - 1).bit_length())


def integer_bytes(tensor: Tensor) -> int:
    """Bytes of integers in the narrowest of 1, 2, 4 or 8 bytes each that holds all of them.

    Example:
        >>> import torch
        >>> integer_bytes(torch.tensor([300, -1]))
        4
    """
    greatest = int(tensor.long().abs().max()) if tensor.numel() else 0
    width = next(w for w in (1, 2, 4, 8) if greatest < 2 ** (8 * w - 1))
    return width * tensor.numel()


def only_shifts(multipliers: Tensor) -> bool:
    """Whether all are powers of two, or minus them: sums are shifted and nothing is multiplied.

    Example:
        >>> import torch
        >>> only_shifts(torch.tensor([1, -4])), only_shifts(torch.tensor([3]))
        (True, False)
    """
    whole = multipliers.long().abs()
    return bool(((whole > 0) & (whole & (whole - 1) == 0)).all())


def account(node: Node) -> NodeAccount:
    """Return what a layer takes."""
    count = math.prod(node.shape)
    kind = type(node).__name__
    if isinstance(node, Convolution | Linear):
        return NodeAccount(
            node.name, kind, weights=packed_bytes(node.codes.numel(), code_bits(node))
        )
    if isinstance(node, Gather):
        return NodeAccount(node.name, kind, bounds=integer_bytes(node.index))
    if isinstance(node, Rescale | Output):
        size = integer_bytes(node.multipliers) + integer_bytes(node.bias)
        products = 0 if only_shifts(node.multipliers) else count * len(node.inputs)
        return NodeAccount(node.name, kind, bounds=size, multiplications=products)
    if isinstance(node, Neuron):
        tables = [node.bounds, node.spikes, node.next_state]
        tables += [node.charge] if isinstance(node, WideNeuron) else []
        size = sum(integer_bytes(table) for table in tables)
        return NodeAccount(node.name, kind, bounds=size, states=packed_bytes(count, node.bits))
    return NodeAccount(node.name, kind)
