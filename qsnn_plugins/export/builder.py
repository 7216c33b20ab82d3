"""The nodes of an integer network while it is put together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.nodes import Gather, Input, Node, Output, Sum
from qsnn_plugins.export.reach import reach
from qsnn_plugins.export.values import Term, Value, same, sample_shape, whole

__all__ = ["ANSWERS", "Builder", "Charge", "Grid"]

ANSWERS = (
    "It must be the answer of each step, [T, N, ...], or the sum or mean over all steps. Not "
    "supported are y[-1], a selection of steps, weights per step, a maximum over time, a bias "
    "after the sum over steps (after the mean it is), and states other than those of neurons"
)


@dataclass(frozen=True, eq=False)
class Charge:
    """What the integers stand for that a layer of neurons takes and sends: x = scale a + bias.

    Args:
        scale: float64, [places].
        bias: float64, [places].
        spike: What one spike stands for, float64, [channels].
        rounding: How far x may be from the sum for which a stands in fixed point.
    """

    scale: Tensor
    bias: Tensor
    spike: Tensor
    rounding: float


class Grid(NamedTuple):
    """The integers of an input: what 1 stands for, the least, the greatest, what is in between."""

    unit: float
    low: int
    high: int
    rounds: bool


class Builder:
    """The nodes so far; what is built twice from the same parts is there once.

    Args:
        dtype: What the network computes in.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.nodes: list[Node] = []
        self.known: dict[Any, int] = {}
        self.inputs: dict[str, Value] = {}  # of neurons
        self.charges: dict[str, Charge] = {}

    def add(self, key: Any, build: Callable[[], Node]) -> int:
        """Return the place of a node, which is built where the key is new."""
        if key not in self.known:
            node = build()
            reach(node, [self.nodes[place].span for place in node.inputs])  # or it does not fit
            self.nodes.append(node)
            self.known[key] = len(self.nodes) - 1
        return self.known[key]

    def input(self, shape: tuple[int, ...], grid: Grid) -> int:
        """Add what the network is shown."""
        unit, low, high, rounds = grid
        return self.add("input", lambda: Input("input", (), shape, low, high, unit, rounds))

    def merged(self, value: Value) -> tuple[Term, ...]:
        """Join terms of the same integers, and those of equal scale in a sum."""
        terms: list[Term] = []
        for term in value.terms:
            for k, known in enumerate(terms):
                if known.node == term.node and torch.equal(known.index, term.index):
                    terms[k] = Term(term.node, known.scale + term.scale, term.index)
                    break
            else:
                terms.append(term)
        merged: list[Term] = []
        while terms:
            first = terms.pop(0)
            alike = [term for term in terms if torch.equal(term.scale, first.scale)]
            terms = [term for term in terms if not any(term is other for other in alike)]
            if alike:
                shape = tuple(first.scale.shape)
                places = tuple(self.placed(term, shape) for term in (first, *alike))
                node = self.add(("sum", places), partial(self._sum, places))
                index = torch.arange(first.index.numel()).reshape(shape)
                first = Term(node, first.scale, index)
            merged.append(first)
        return tuple(merged)

    def _sum(self, places: tuple[int, ...]) -> Node:
        inputs = [self.nodes[place] for place in places]
        low, high = sum(i.low for i in inputs), sum(i.high for i in inputs)
        return Sum("sum", places, inputs[0].shape, low, high)

    def placed(self, term: Term, shape: Sequence[int]) -> int:
        """Return the place of a node with the values of a term in its order."""
        node = self.nodes[term.node]
        order = term.index.flatten()
        if order.numel() == math.prod(node.shape) and torch.equal(order, torch.arange(len(order))):
            return term.node
        sample = sample_shape(shape)
        return self.add(
            ("gather", term.node, order.numpy().tobytes()),
            lambda: Gather(
                f"{node.name}.order",
                (term.node,),
                sample,
                node.low,
                node.high,
                order.to(torch.int32).reshape(sample),
            ),
        )

    def joined(self, name: str, values: list[Value], join: Callable[..., Tensor]) -> Value:
        """Join values as `join` joins their tensors."""
        merged = [self.merged(value) for value in values]
        if all(same(value, values[0]) for value in values):
            parts = [
                Term(t.node, join([t.scale] * len(values)), join([t.index] * len(values)))
                for t in merged[0]
            ]
            return Value(tuple(parts), join([v.bias for v in values]))
        if {len(terms) for terms in merged} != {1}:
            raise ExportError(f"{name} joins sums in several units")
        terms = [terms[0] for terms in merged]
        scale, bias = join([t.scale for t in terms]), join([v.bias for v in values])
        nodes = list(dict.fromkeys(term.node for term in terms))
        if len(nodes) == 1:
            return Value((Term(nodes[0], scale, join([t.index for t in terms])),), bias)
        starts, size = {}, 0
        for node in nodes:
            starts[node] = size
            size += math.prod(self.nodes[node].shape)
        index = join([term.index + starts[term.node] for term in terms])
        sources = [self.nodes[node] for node in nodes]
        sample = sample_shape(index.shape)
        place = self.add(
            ("join", tuple(nodes), index.contiguous().numpy().tobytes()),
            lambda: Gather(
                f"{sources[0].name}.join",
                tuple(nodes),
                sample,
                min(s.low for s in sources),
                max(s.high for s in sources),
                index.to(torch.int32).reshape(sample),
            ),
        )
        return whole(place, scale, bias)

    def finish(self, value: Value, steps: int) -> list[Node]:
        """Add the output, and return the nodes that it needs, in order.

        Args:
            value: What a call answers.
            steps: How many steps it ran: the answer is of each, or of all together.
        """
        value = _one_step(value, steps)
        terms = self.merged(value)
        if not terms:
            raise ExportError("the network's answer does not depend on its input")
        shape = tuple(value.bias.shape)
        places = tuple(self.placed(term, shape) for term in terms)
        scales = torch.stack([term.scale.flatten() for term in terms])
        bias = value.bias.flatten()
        unit, multipliers = float(scales.flatten()[0]), torch.ones_like(scales)
        if scales.unique().numel() > 1 or bias.any() or unit <= 0:
            # constants fit in 64 bits beside the smallest scales, as weights of 0 have
            unit = max(float(scales.abs().max()) * 2.0**-24, float(bias.abs().max()) * 2.0**-48)
            unit = unit or 1.0
            multipliers = scales / unit
        whole = multipliers.round().to(torch.int64)
        constant = (bias / unit).round().to(torch.int64)
        reach = [max(abs(self.nodes[p].low), abs(self.nodes[p].high)) for p in places]
        bound = sum(r * int(m.abs().max()) for r, m in zip(reach, whole, strict=True))
        bound += int(constant.abs().max())
        self.nodes.append(
            Output("output", places, sample_shape(shape), -bound, bound, whole, constant, unit)
        )
        return _needed(self.nodes)


def _one_step(value: Value, steps: int) -> Value:
    """Return what each step adds to the answer."""
    count = len(value.bias) if value.bias.dim() > 1 else 1
    if count == 1:
        return value.times(1 / steps)
    first = value.first()
    if count != steps or len(first.bias) != 1:
        raise ExportError(
            f"the network's answer has a first dimension that is not a step. {ANSWERS}"
        )
    return first


def _needed(nodes: list[Node]) -> list[Node]:
    needed = {len(nodes) - 1}
    for place in range(len(nodes) - 1, -1, -1):
        if place in needed:
            needed.update(nodes[place].inputs)
    places = {old: new for new, old in enumerate(sorted(needed))}
    return [
        replace(nodes[old], inputs=tuple(places[i] for i in nodes[old].inputs)) for old in places
    ]
