"""What is known of a float tensor of a network: which integers it is made of, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.errors import ExportError

__all__ = ["Term", "Value", "corner", "per_channel", "same", "sample_shape", "whole"]


@dataclass(frozen=True, eq=False)
class Term:
    """A part `scale * x[index]` of a tensor, of the values x of a node.

    Args:
        node: Place of the node.
        scale: float64, of the tensor's shape.
        index: int64, of the tensor's shape: places in the node's values.
    """

    node: int
    scale: Tensor
    index: Tensor


@dataclass(frozen=True, eq=False)
class Value:
    """A float tensor as the sum of its terms and a constant.

    Args:
        terms: What depends on the network's input.
        bias: float64, of the tensor's shape.
    """

    terms: tuple[Term, ...]
    bias: Tensor

    def moved(self, move: Any) -> Value:
        """Apply what only moves or copies elements.

        Args:
            move: From a tensor of this shape to another.
        """
        # expanded and permuted tensors have no views
        whole = (Term(t.node, t.scale.contiguous(), t.index.contiguous()) for t in self.terms)
        terms = (Term(t.node, move(t.scale), move(t.index)) for t in whole)
        return Value(tuple(terms), move(self.bias.contiguous()))

    def times(self, factor: Tensor | float) -> Value:
        """Multiply by a constant that broadcasts."""
        factor = torch.as_tensor(factor, dtype=torch.float64)
        shape = torch.broadcast_shapes(self.bias.shape, factor.shape)
        terms = (
            Term(t.node, (t.scale * factor).expand(shape), t.index.expand(shape))
            for t in self.terms
        )
        return Value(tuple(terms), (self.bias * factor).expand(shape))

    def plus(self, other: Value | Tensor | float) -> Value:
        """Add another value, or a constant, which broadcast."""
        if not isinstance(other, Value):
            other = Value((), torch.as_tensor(other, dtype=torch.float64))
        shape = torch.broadcast_shapes(self.bias.shape, other.bias.shape)
        terms = (
            Term(t.node, t.scale.expand(shape), t.index.expand(shape))
            for t in (*self.terms, *other.terms)
        )
        return Value(tuple(terms), (self.bias + other.bias).expand(shape))


def whole(place: int, scale: Tensor, bias: Tensor) -> Value:
    """Return the value of all of a node, in its order."""
    index = torch.arange(scale.numel()).reshape(scale.shape)
    return Value((Term(place, scale, index),), bias)


def corner(spatial: int) -> Any:
    """The index of the first place of each map."""
    return (..., *[slice(0, 1)] * spatial)


def sample_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Leave out leading dimensions of one element, of batch and time."""
    sizes = list(shape)
    while len(sizes) > 1 and sizes[0] == 1:
        sizes.pop(0)
    return tuple(sizes)


def per_channel(name: str, term: Term, spatial: int) -> Term:
    """Return a term of one scale per channel, or refuse it."""
    first = term.scale[corner(spatial)].expand(term.scale.shape)
    if not torch.equal(first, term.scale):
        raise ExportError(f"{name} pools places in different units")
    return term


def same(a: Value, b: Value) -> bool:
    """Return whether two values are the same parts of the same nodes."""
    alike = len(a.terms) == len(b.terms) and torch.equal(a.bias, b.bias)
    return alike and all(
        one.node == other.node and torch.equal(one.scale, other.scale)
        for one, other in zip(a.terms, b.terms, strict=True)
    )
