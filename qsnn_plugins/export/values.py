"""A float tensor of a network as a sum of scaled integers."""

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

    def is_repeated(self, dim: int = 0) -> bool:
        """Return whether there are several along a dimension, all alike."""
        tensors = [self.bias, *(tensor for t in self.terms for tensor in (t.scale, t.index))]
        if not self.bias.dim() or self.bias.shape[dim] < 2:
            return False
        return all(torch.equal(each, each.narrow(dim, 0, 1).expand_as(each)) for each in tensors)

    def first(self, dim: int = 0) -> Value:
        """Return the first along a dimension, which stays, if they are alike; else all."""
        if not self.is_repeated(dim):
            return self
        return self.moved(lambda tensor: tensor.narrow(dim, 0, 1))

    def counted(self, dim: int) -> Value:
        """Return the sum along a dimension, which stays, where it is of the same integers."""
        if not self.bias.numel():
            return self
        terms = []
        for term in self.terms:
            first = term.index.narrow(dim, 0, 1)
            if not torch.equal(term.index, first.expand_as(term.index)):
                return self
            terms.append(Term(term.node, term.scale.sum(dim, keepdim=True), first.contiguous()))
        return Value(tuple(terms), self.bias.sum(dim, keepdim=True))

    def repeated(self, count: int) -> Value:
        """Return what is one along the first dimension as often as `count`."""
        if count == 1:
            return self
        return self.moved(lambda tensor: tensor.expand(count, *tensor.shape[1:]).contiguous())


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
        one.node == other.node
        and torch.equal(one.scale, other.scale)
        and torch.equal(one.index, other.index)
        for one, other in zip(a.terms, b.terms, strict=True)
    )
