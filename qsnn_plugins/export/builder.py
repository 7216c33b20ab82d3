"""Puts nodes together: each way of computing with known values, as integers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.bounds import integer_bounds, trimmed
from qsnn_plugins.export.nodes import (
    Convolution,
    Gather,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Node,
    Output,
    Rescale,
    Sum,
    SumPool,
    WideNeuron,
)
from qsnn_plugins.export.tables import StepTable, tabulate
from qsnn_plugins.export.values import Term, Value

__all__ = ["Builder"]

_WORD = 30  # bits of a fixed-point number, which leave room for a sum of two
_MULTIPLIER = 31


class Builder:
    """The nodes so far; what is built twice from the same parts is there once.

    Args:
        dtype: What the network computes in.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.nodes: list[Node] = []
        self._known: dict[Any, int] = {}
        self._units: dict[str, Tensor] = {}  # what a spike of a neuron stands for
        self._inputs: dict[str, Value] = {}

    def _add(self, key: Any, build: Callable[[], Node]) -> int:
        if key not in self._known:
            self.nodes.append(build())
            self._known[key] = len(self.nodes) - 1
        return self._known[key]

    def input(self, shape: tuple[int, ...], unit: float, low: int, high: int) -> int:
        """Add what the network is shown."""
        return self._add("input", lambda: Input("input", (), shape, low, high, unit))

    # Values as nodes

    def _node(self, value: Value, shape: tuple[int, ...]) -> tuple[int, Tensor]:
        """Return a node with the value's integers in its order, and its scale."""
        terms = self._merged(value)
        if len(terms) != 1:
            raise ExportError("a sum of parts in different units is needed as integers")
        return self._placed(terms[0], shape), terms[0].scale

    def _merged(self, value: Value) -> tuple[Term, ...]:
        """Join terms of equal scale in a sum."""
        terms = list(value.terms)
        merged: list[Term] = []
        while terms:
            first = terms.pop(0)
            alike = [term for term in terms if torch.equal(term.scale, first.scale)]
            terms = [term for term in terms if not any(term is other for other in alike)]
            if alike:
                shape = tuple(first.scale.shape)
                places = tuple(self._placed(term, shape) for term in (first, *alike))
                node = self._add(("sum", places), partial(self._sum, places))
                index = torch.arange(first.index.numel()).reshape(shape)
                first = Term(node, first.scale, index)
            merged.append(first)
        return tuple(merged)

    def _sum(self, places: tuple[int, ...]) -> Node:
        inputs = [self.nodes[place] for place in places]
        low, high = sum(i.low for i in inputs), sum(i.high for i in inputs)
        return Sum("sum", places, inputs[0].shape, low, high)

    def _placed(self, term: Term, shape: Sequence[int]) -> int:
        node = self.nodes[term.node]
        order = term.index.flatten()
        if order.numel() == math.prod(node.shape) and torch.equal(order, torch.arange(len(order))):
            return term.node
        sample = _sample(shape)
        return self._add(
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

    # Synapses

    def _operand(self, name: str, value: Value, shape: Sequence[int]) -> tuple[int, float]:
        """Return a node and the one scale of its integers."""
        terms = self._merged(value)
        scales = torch.cat([term.scale.flatten() for term in terms]).unique()
        if len(terms) != 1 or scales.numel() != 1:
            raise ExportError(
                f"{name} takes sums in several units, such as those of a normalization that no "
                "neuron follows: put a neuron in between"
            )
        return self._placed(terms[0], shape), float(scales)

    def convolution(
        self,
        name: str,
        value: Value,
        codes: Tensor,
        unit: Tensor,
        quantizer: Any,
        geometry: tuple[Any, ...],
        bias: Tensor | None,
        shape: torch.Size,
    ) -> Value:
        """Add a convolution; what it computes has `shape`."""
        spatial = codes.dim() - 2
        takes = tuple(value.bias.shape[-spatial - 1 :])
        place, scale = self._operand(name, value, takes)
        stride, padding, dilation, groups = geometry
        bound = _reach(codes, self.nodes[place])
        node = self._add(
            ("convolution", place, name, geometry),
            lambda: Convolution(
                name,
                (place,),
                tuple(shape[-spatial - 1 :]),
                *bound,
                takes,
                _small(codes),
                quantizer.bits,
                tuple(quantizer.levels),
                stride,
                padding,
                dilation,
                groups,
            ),
        )
        per = _per_output(unit, codes) * scale
        grown = per.reshape(-1, *(1,) * spatial).expand(shape)
        constant = torch.zeros(shape, dtype=torch.float64)
        if value.bias.any():
            weight = codes.double() * unit.double()
            x = value.bias.reshape(1, *takes)
            how = (None, stride, padding, dilation, groups)
            constant = constant + _CONVOLUTIONS[spatial](x, weight, *how).reshape(shape)
        if bias is not None:
            constant = constant + bias.double().reshape(-1, *(1,) * spatial)
        return _whole(node, grown, constant)

    def linear(
        self,
        name: str,
        value: Value,
        codes: Tensor,
        unit: Tensor,
        quantizer: Any,
        bias: Tensor | None,
        shape: torch.Size,
    ) -> Value:
        """Add a linear layer; what it computes has `shape`."""
        place, scale = self._operand(name, value, (codes.shape[1],))
        bound = _reach(codes, self.nodes[place])
        node = self._add(
            ("linear", place, name),
            lambda: Linear(
                name,
                (place,),
                (len(codes),),
                *bound,
                _small(codes),
                quantizer.bits,
                tuple(quantizer.levels),
            ),
        )
        constant = torch.zeros(shape, dtype=torch.float64)
        if value.bias.any():
            weight = codes.double() * unit.double()
            constant = constant + (weight @ value.bias.flatten())
        if bias is not None:
            constant = constant + bias.double()
        return _whole(node, (_per_output(unit, codes) * scale).expand(shape), constant)

    # Pooling, sums, orders

    def average_pool(
        self, name: str, value: Value, pool: Any, args: Sequence[Any], kwargs: Any
    ) -> Value:
        """Add the sums of an average pooling."""
        names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
        given = dict(zip(names, args, strict=False)) | kwargs
        spatial = 1 if pool._overloadpacket.__name__.endswith("1d") else len(given["kernel_size"])
        kernel = _spread(given["kernel_size"], spatial)
        stride = _spread(given.get("stride") or kernel, spatial)
        padding = _spread(given.get("padding", 0), spatial)
        if given.get("ceil_mode"):
            raise ExportError(f"{name} pools windows beyond the edge: ceil_mode=False is known")
        ones = torch.ones_like(value.bias)
        pad = [p for size in reversed(padding) for p in (size, size)]
        counts = pool(F.pad(ones, pad), kernel, stride) * math.prod(kernel)
        factor = pool(ones, *args, **kwargs) / counts
        places = [self._per_channel(name, t, spatial) for t in self._merged(value)]
        terms = []
        for term in places:
            takes = tuple(term.scale.shape[-spatial - 1 :])
            place = self._placed(term, takes)
            shape = tuple(counts.shape)
            pooled = partial(self._sum_pool, place, shape[-spatial - 1 :], takes, kernel, stride)
            key = ("sum_pool", place, kernel, stride, padding, takes)
            node = self._add(key, partial(pooled, padding))
            scale = term.scale[_corner(spatial)].expand(shape) * factor
            terms.append(Term(node, scale, torch.arange(scale.numel()).reshape(shape)))
        return Value(tuple(terms), pool(value.bias, *args, **kwargs))

    def _sum_pool(
        self, place: int, shape: tuple[int, ...], takes: tuple[int, ...], *windows: tuple[int, ...]
    ) -> Node:
        source, (kernel, _, padding) = self.nodes[place], windows
        low, high = source.low, source.high
        if any(padding):
            low, high = min(0, low), max(0, high)
        count = math.prod(kernel)
        name = f"{source.name}.pool"
        return SumPool(name, (place,), shape, low * count, high * count, takes, *windows)

    def _per_channel(self, name: str, term: Term, spatial: int) -> Term:
        first = term.scale[_corner(spatial)].expand(term.scale.shape)
        if not torch.equal(first, term.scale):
            raise ExportError(f"{name} pools places in different units")
        return term

    def max_pool(
        self,
        name: str,
        value: Value,
        kernel: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil: bool = False,
    ) -> Value:
        """Add a maximum pooling, of sums in one unit per channel."""
        spatial = len(kernel)
        kernel, stride = tuple(kernel), _spread(stride or kernel, spatial)
        padding = _spread(padding, spatial)
        if ceil or set(_spread(dilation, spatial)) != {1}:
            raise ExportError(f"{name}: ceil_mode=False and dilation=1 are known")
        terms = self._merged(value)
        if len(terms) != 1:
            raise ExportError(f"{name} takes the greatest of sums in several units")
        term = self._per_channel(name, terms[0], spatial)
        first = value.bias[_corner(spatial)].expand(value.bias.shape)
        if not torch.equal(first, value.bias):
            raise ExportError(f"{name} takes the greatest of sums with different constants")
        term = self._rising(term)
        takes = tuple(term.scale.shape[-spatial - 1 :])
        place = self._placed(term, takes)
        source = self.nodes[place]
        sizes = [
            (size + 2 * p - k) // s + 1
            for size, p, k, s in zip(takes[1:], padding, kernel, stride, strict=True)
        ]
        shape = (*term.scale.shape[:-spatial], *sizes)
        node = self._add(
            ("max_pool", place, kernel, stride, padding, takes),
            lambda: MaxPool(
                f"{source.name}.pool",
                (place,),
                shape[-spatial - 1 :],
                source.low,
                source.high,
                takes,
                kernel,
                stride,
                padding,
            ),
        )
        corner = _corner(spatial)
        index = torch.arange(math.prod(shape)).reshape(shape)
        return Value(
            (Term(node, term.scale[corner].expand(shape), index),), value.bias[corner].expand(shape)
        )

    def total(self, name: str, value: Value, dims: list[int], keep: bool) -> Value:
        """Add sums over dimensions."""
        dims = sorted(d % value.bias.dim() for d in dims)
        count = math.prod(value.bias.shape[d] for d in dims)
        others = [d for d in range(value.bias.dim()) if d not in dims]

        def last(tensor: Tensor) -> Tensor:
            moved = tensor.permute(*others, *dims)
            return moved.reshape(*moved.shape[: len(others)], count)

        def end(tensor: Tensor) -> Tensor:
            for d in dims if keep else []:
                tensor = tensor.unsqueeze(d)
            return tensor

        moved = value.moved(last)
        if count == 1:
            return moved.moved(lambda tensor: end(tensor.squeeze(-1)))
        window = (1, count)
        flat = moved.moved(lambda tensor: tensor.reshape(1, -1, count))
        pool = torch.ops.aten.avg_pool2d.default
        summed = self.average_pool(name, flat, pool, (list(window),), {}).times(count)
        shape = moved.bias.shape[:-1]
        return summed.moved(lambda tensor: end(tensor.reshape(shape)))

    def joined(self, name: str, values: list[Value], join: Callable[..., Tensor]) -> Value:
        """Join values as `join` joins their tensors."""
        merged = [self._merged(value) for value in values]
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
        sample = _sample(index.shape)
        place = self._add(
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
        return _whole(place, scale, bias)

    def product(self, name: str, a: Value, b: Value) -> Value:
        """Refuse a product of two values."""
        raise ExportError(
            f"{name} multiplies two things that it computes, such as attention or a "
            "connection that gates: sums are known (cnf='ADD')"
        )

    # Neurons

    def _rising(self, term: Term) -> Term:
        """Turn the sign where a scale is negative, in the codes themselves where possible."""
        negative = term.scale < 0
        if not negative.any():
            return term
        node = self.nodes[term.node]
        signs = torch.zeros(math.prod(node.shape), dtype=torch.bool)
        signs[term.index.flatten()] = negative.flatten()
        turned = self._turned(term.node, signs.reshape(node.shape))
        return Term(turned, term.scale.abs(), term.index)

    def _turned(self, place: int, signs: Tensor) -> int:
        node = self.nodes[place]
        flat = signs.reshape(len(signs), -1)
        per_channel = bool((flat == flat[:, :1]).all())
        if isinstance(node, Convolution | Linear) and per_channel:
            key = ("turned", place, tuple(flat[:, 0].tolist()))
            shape = (-1, *(1,) * (node.codes.dim() - 1))
            sign = torch.where(flat[:, 0], -1, 1).to(node.codes.dtype).reshape(shape)
            levels = tuple(sorted({*node.levels, *(-level for level in node.levels)}))
            low, high = _reach(node.codes * sign, self.nodes[node.inputs[0]])
            return self._add(
                key,
                lambda: replace(node, codes=node.codes * sign, levels=levels, low=low, high=high),
            )
        if isinstance(node, SumPool) and per_channel:
            inner = flat[:, :1].expand(-1, math.prod(node.takes[1:])).reshape(node.takes)
            source = self._turned(node.inputs[0], inner)
            greatest = max(abs(node.low), abs(node.high))
            return self._add(
                ("turned", place, source),
                lambda: replace(node, inputs=(source,), low=-greatest, high=greatest),
            )
        greatest = max(abs(node.low), abs(node.high))
        multipliers = torch.where(signs.flatten(), -1, 1).to(torch.int32).unsqueeze(0)
        return self._add(
            ("turned", place, tuple(signs.flatten().tolist())),
            lambda: Rescale(
                f"{node.name}.sign",
                (place,),
                node.shape,
                -greatest,
                greatest,
                multipliers,
                torch.zeros(multipliers.shape[1], dtype=torch.int32),
                0,
                0,
            ),
        )

    def neuron(self, name: str, module: Any, value: Value, leading: int) -> Value:
        """Add a layer of neurons; its value has `leading` dimensions of batch and time."""
        shape = tuple(value.bias.shape[leading:])
        key = ("neuron", name)
        if key not in self._known:
            table = tabulate(name, module, shape[0], len(shape) + 1, self.dtype)
            self._units[name] = table.unit
            self._inputs[name] = value
            node = self._neuron(name, table, value, shape)
            self._add(key, lambda: node)
        elif not _same(value, self._inputs[name]):
            raise ExportError(f"{name} takes something else each time that it runs")
        scale = self._units[name].reshape(-1, *(1,) * (len(shape) - 1)).expand(value.bias.shape)
        factor = getattr(module, "graded_spikes_factor", None)
        if factor is not None:
            scale = scale * factor.detach().double()
        return _whole(self._known[key], scale, torch.zeros_like(value.bias))

    def _neuron(self, name: str, table: StepTable, value: Value, shape: tuple[int, ...]) -> Node:
        terms = self._merged(value)
        if len(terms) > 1 or table.charge is not None:
            place, fraction = self._rescaled(name, terms, value.bias, table.gain)
            scale = torch.full((math.prod(shape),), 2.0**-fraction, dtype=torch.float64)
            bias = torch.zeros_like(scale)
        else:
            term = self._rising(terms[0])
            place = self._placed(term, shape)
            scale, bias = term.scale.flatten(), value.bias.flatten()
        source = self.nodes[place]
        low, high = source.low, source.high
        channels = len(table.breaks)
        scale, bias, channel = _groups(scale, bias, table, channels)
        wide = table.charge is not None
        if wide:
            unit = float(scale[0])
            charge = (table.charge[channel] / unit).round().to(torch.int64)  # type: ignore[index]
            low, high = low + int(charge.min()), high + int(charge.max())
        dtype = torch.float64 if wide else self.dtype
        bounds = integer_bounds(table.breaks[channel], scale, bias, low, high, dtype)
        bounds, table, kept = trimmed(bounds, table, low, high)
        states = table.states if len(table.states.unique(dim=0)) > 1 else table.states[:1]
        how: dict[str, Any] = {
            "name": name, "inputs": (place,), "shape": shape, "low": 0,
            "high": int(table.spikes.max()), "spikes": table.spikes.to(torch.uint8),
            "next_state": table.next_state.to(torch.uint8), "first_state": table.first_state,
            "states": states, "bits": max(1, math.ceil(math.log2(states.shape[1]))),
        }  # fmt: skip
        if wide:
            return WideNeuron(
                **how, charge=charge[:, kept].to(torch.int32), bounds=bounds[:, 0].to(torch.int32)
            )
        return Neuron(**how, bounds=bounds.to(torch.int32))

    def _rescaled(
        self, name: str, terms: tuple[Term, ...], bias: Tensor, gain: float
    ) -> tuple[int, int]:
        """Add the sum of several terms in fixed point; return its node and fraction."""
        shape = tuple(bias.shape)
        places = tuple(self._placed(term, shape) for term in terms)
        sources = [self.nodes[place] for place in places]
        scales = torch.stack([term.scale.flatten() for term in terms]) * gain
        constant = bias.flatten() * gain
        reach = [max(abs(source.low), abs(source.high)) for source in sources]
        greatest = float(
            (scales.abs() * torch.tensor(reach, dtype=torch.float64).unsqueeze(1)).sum(0).max()
            + constant.abs().max()
        )
        fraction = _WORD - max(0, math.ceil(math.log2(max(greatest, 1.0)))) - 1
        most = max(float(scales.abs().max()), 2.0**-_WORD)
        shift = max(0, _MULTIPLIER - 1 - math.ceil(math.log2(most)) - fraction)
        multipliers = (scales * 2.0 ** (fraction + shift)).round().to(torch.int64)
        offset = (constant * 2.0**fraction).round().to(torch.int64)
        columns = torch.cat([multipliers, offset.unsqueeze(0)])
        multipliers, offset = columns[:-1], columns[-1]
        each = _fewest(columns, _sample(shape)[0])
        bound = math.ceil(greatest * 2.0**fraction) + len(terms)
        return (
            self._add(
                ("rescale", places, name),
                lambda: Rescale(
                    f"{name}.input",
                    places,
                    sources[0].shape,
                    -bound,
                    bound,
                    multipliers[:, each].to(torch.int32),
                    offset[each].to(torch.int32),
                    shift,
                    fraction,
                ),
            ),
            fraction,
        )

    # The end

    def finish(self, value: Value) -> list[Node]:
        """Add the output, and return the nodes that it needs, in order."""
        value = _one_step(value)
        terms = self._merged(value)
        if not terms:
            raise ExportError("the network's answer does not depend on its input")
        shape = tuple(value.bias.shape)
        places = tuple(self._placed(term, shape) for term in terms)
        scales = torch.stack([term.scale.flatten() for term in terms])
        bias = value.bias.flatten()
        unit, multipliers = float(scales.flatten()[0]), torch.ones_like(scales)
        if scales.unique().numel() > 1 or bias.any() or unit <= 0:
            unit = float(scales.abs().max()) * 2.0**-24 or 1.0
            multipliers = scales / unit
        whole = multipliers.round().to(torch.int64)
        constant = (bias / unit).round().to(torch.int64)
        reach = [max(abs(self.nodes[p].low), abs(self.nodes[p].high)) for p in places]
        bound = sum(r * int(m.abs().max()) for r, m in zip(reach, whole, strict=True))
        bound += int(constant.abs().max())
        self.nodes.append(
            Output("output", places, _sample(shape), -bound, bound, whole, constant, unit)
        )
        return _needed(self.nodes)


_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def _corner(spatial: int) -> Any:
    """The index of the first place of each map."""
    return (..., *[slice(0, 1)] * spatial)


def _whole(place: int, scale: Tensor, bias: Tensor) -> Value:
    index = torch.arange(scale.numel()).reshape(scale.shape)
    return Value((Term(place, scale, index),), bias)


def _sample(shape: Sequence[int]) -> tuple[int, ...]:
    """Leave out leading dimensions of one element, of batch and time."""
    sizes = list(shape)
    while len(sizes) > 1 and sizes[0] == 1:
        sizes.pop(0)
    return tuple(sizes)


def _spread(sizes: Any, spatial: int) -> tuple[int, ...]:
    values = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    return values * spatial if len(values) == 1 else values


def _small(codes: Tensor) -> Tensor:
    low, high = torch.aminmax(codes)
    return codes.to(torch.int8 if int(low) > -128 and int(high) < 128 else torch.int16)


def _per_output(unit: Tensor, codes: Tensor) -> Tensor:
    """One unit for each output, [C_out]."""
    each = unit.double().expand(len(codes), *(1,) * (codes.dim() - 1)) if unit.dim() else unit
    return each.double().reshape(-1).expand(len(codes))


def _reach(codes: Tensor, source: Node) -> tuple[int, int]:
    """The least and the greatest sum of codes times what a node can give; padding is 0."""
    flat = _small(codes).flatten(1)
    low, high = min(source.low, 0), max(source.high, 0)
    positive = flat.clamp(min=0).sum(1, dtype=torch.int64)
    negative = flat.clamp(max=0).sum(1, dtype=torch.int64)
    return (
        int((positive * low + negative * high).min()), int((positive * high + negative * low).max())
    )  # fmt: skip


def _groups(
    scale: Tensor, bias: Tensor, table: StepTable, channels: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Scales and constants of as few groups of places as there are, and each group's channel."""
    places = torch.arange(len(scale)) * channels // len(scale)
    alike = bool((table.breaks == table.breaks[:1]).all())
    if alike and table.charge is not None:
        alike = bool((table.charge == table.charge[:1]).all())
    if alike and bool((scale == scale[0]).all() and (bias == bias[0]).all()):
        return scale[:1], bias[:1], places[:1]
    rows = scale.reshape(channels, -1), bias.reshape(channels, -1)
    if all(bool((row == row[:, :1]).all()) for row in rows):
        return rows[0][:, 0], rows[1][:, 0], torch.arange(channels)
    return scale, bias, places


def _fewest(columns: Tensor, channels: int) -> Tensor:
    """Places of one column for all, one per channel, or all."""
    if bool((columns == columns[:, :1]).all()):
        return torch.tensor([0])
    if columns.shape[1] % channels == 0:
        rows = columns.reshape(len(columns), channels, -1)
        if bool((rows == rows[..., :1]).all()):
            return torch.arange(channels) * rows.shape[-1]
    return torch.arange(columns.shape[1])


def _same(a: Value, b: Value) -> bool:
    alike = len(a.terms) == len(b.terms) and torch.equal(a.bias, b.bias)
    return alike and all(
        one.node == other.node and torch.equal(one.scale, other.scale)
        for one, other in zip(a.terms, b.terms, strict=True)
    )


def _one_step(value: Value) -> Value:
    """Take the first of the steps that a network counts by itself, if they are alike."""
    count = len(value.bias) if value.bias.dim() > 1 else 1
    if count == 1:
        return value
    first = value.moved(lambda tensor: tensor[:1])
    tensors = [(value.bias, first.bias)]
    for term, one in zip(value.terms, first.terms, strict=True):
        tensors += [(term.scale, one.scale), (term.index, one.index)]
    if not all(torch.equal(each, one.expand(each.shape)) for each, one in tensors):
        raise ExportError("the network's answer has a first dimension that is no step")
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
