"""What each layer of an integer network can give, from its codes and tables alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.nodes import (
    Convolution,
    Input,
    Linear,
    Neuron,
    Node,
    Output,
    Rescale,
    Span,
    Sum,
    SumPool,
    WideNeuron,
)

__all__ = ["fitting", "products", "reach", "spans", "sums"]

_MOST = 2**31 - 1  # the bound that no sum reaches is one more than the greatest
_WIDEST = 2**62


def spans(nodes: Sequence[Node]) -> tuple[Span, ...]:
    """Return what each node can give, whatever it claims.

    Raises:
        ExportError: If a value does not fit in 32 bits, or an answer in 62.

    Example:
        >>> image = Input("input", (), (2,), 0, 3, unit=1.0)
        >>> codes = torch.tensor([[1, -2]], dtype=torch.int8)
        >>> spans((image, Linear("fc", (0,), (1,), 0, 0, codes, bits=2, levels=(-2, 1))))
        (Span(low=0, high=3), Span(low=-6, high=3))
    """
    found: list[Span] = []
    for node in nodes:
        found.append(reach(node, [found[i] for i in node.inputs]))
    return tuple(found)


def reach(node: Node, inputs: Sequence[Span]) -> Span:
    """Return what a node can give whose inputs are within these spans; see `spans`."""
    return fitting(node, _reach(node, inputs))


def fitting(node: Node, span: Span) -> Span:
    """Return what a node gives, if it fits in 32 bits, of which answers alone have more."""
    if not isinstance(node, Output) and not -_MOST < span.low <= span.high < _MOST:
        raise ExportError(
            f"{node.name} gives {span}, beyond 32 bits: fewer bits of its weights make sums "
            "smaller, and so does a larger `input_unit` where the input has more than 8 bits"
        )
    return span


def sums(codes: Tensor, source: Span) -> Span:
    """Return what rows of codes times integers, or times the 0 of padding, may add up to.

    Args:
        codes: [rows, ...], signed.
        source: What the integers may be.

    Example:
        >>> sums(torch.tensor([[1, -2], [3, 0]]), Span(0, 3))
        Span(low=-6, high=9)
    """
    whole = source | Span(0, 0)
    span = Span(0, 0)
    for rows in codes.flatten(1).split(256):  # wider copies of few at a time
        positive = rows.clamp(min=0).sum(1, dtype=torch.int64)
        negative = rows.clamp(max=0).sum(1, dtype=torch.int64)
        low = int((positive * whole.low + negative * whole.high).min())
        span |= Span(low, int((positive * whole.high + negative * whole.low).max()))
    return span


def products(node: Rescale | Output, inputs: Sequence[Span]) -> Span:
    """Return what the sum of a node's products may be, before its shift and bias."""
    rows = node.multipliers.reshape(len(inputs), -1).long()
    most = [max(abs(int(row.min())), abs(int(row.max()))) for row in rows]
    widest = sum(m * max(abs(x.low), abs(x.high)) for m, x in zip(most, inputs, strict=True))
    bias = max(abs(int(node.bias.min())), abs(int(node.bias.max())))
    if max(widest + bias, *most) >= _WIDEST:
        raise ExportError(f"{node.name} has products beyond 62 bits")
    ends = torch.tensor([[x.low, x.high] for x in inputs]).unsqueeze(1)
    least, greatest = torch.aminmax(rows.unsqueeze(2) * ends, dim=2)
    return Span(int(least.sum(0).min()), int(greatest.sum(0).max()))


def _reach(node: Node, inputs: Sequence[Span]) -> Span:
    if isinstance(node, Input):
        return node.span
    if isinstance(node, Convolution | Linear):
        return sums(node.codes, inputs[0])
    if isinstance(node, SumPool):
        padded = inputs[0] | Span(0, 0) if any(node.padding) else inputs[0]
        return padded * math.prod(node.kernel)
    if isinstance(node, Sum):
        return sum(inputs, Span(0, 0))
    if isinstance(node, Rescale | Output):
        total = products(node, inputs)
        shift = node.shift if isinstance(node, Rescale) else 0
        half = 1 << shift >> 1
        shifted = Span((total.low + half) >> shift, (total.high + half) >> shift)
        return shifted + Span(int(node.bias.min()), int(node.bias.max()))
    if isinstance(node, Neuron):
        return _fired(node, inputs[0])
    span = inputs[0]
    for each in inputs[1:]:
        span |= each
    return span


def _fired(node: Neuron, source: Span) -> Span:
    if bool((node.bounds[..., 1:] < node.bounds[..., :-1]).any()):
        raise ExportError(f"{node.name} has bounds that do not ascend")
    if isinstance(node, WideNeuron):
        charged = source + Span(int(node.charge.min()), int(node.charge.max()))
        if not -_MOST < charged.low <= charged.high < _MOST:
            raise ExportError(f"{node.name} has charges beyond 32 bits")
    return Span(int(node.spikes.min()), int(node.spikes.max()))
