"""Sums and greatest values over windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.builder import Builder
from qsnn_plugins.export.nodes import MaxPool, Node, SumPool
from qsnn_plugins.export.signs import rising
from qsnn_plugins.export.values import Term, Value, corner, per_channel

__all__ = ["average_pool", "max_pool", "total"]


def average_pool(
    builder: Builder, name: str, value: Value, pool: Any, args: Sequence[Any], kwargs: Any
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
    places = [per_channel(name, t, spatial) for t in builder.merged(value)]
    terms = []
    for term in places:
        takes = tuple(term.scale.shape[-spatial - 1 :])
        place = builder.placed(term, takes)
        shape = tuple(counts.shape)
        pooled = partial(_sum_pool, builder, place, shape[-spatial - 1 :], takes, kernel, stride)
        key = ("sum_pool", place, kernel, stride, padding, takes)
        node = builder.add(key, partial(pooled, padding))
        scale = term.scale[corner(spatial)].expand(shape) * factor
        terms.append(Term(node, scale, torch.arange(scale.numel()).reshape(shape)))
    return Value(tuple(terms), pool(value.bias, *args, **kwargs))


def max_pool(
    builder: Builder,
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
    terms = builder.merged(value)
    if len(terms) != 1:
        raise ExportError(f"{name} takes the greatest of sums in several units")
    term = per_channel(name, terms[0], spatial)
    first = value.bias[corner(spatial)].expand(value.bias.shape)
    if not torch.equal(first, value.bias):
        raise ExportError(f"{name} takes the greatest of sums with different constants")
    term = rising(builder, term)
    takes = tuple(term.scale.shape[-spatial - 1 :])
    place = builder.placed(term, takes)
    source = builder.nodes[place]
    sizes = [
        (size + 2 * p - k) // s + 1
        for size, p, k, s in zip(takes[1:], padding, kernel, stride, strict=True)
    ]
    shape = (*term.scale.shape[:-spatial], *sizes)
    node = builder.add(
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
    index = torch.arange(math.prod(shape)).reshape(shape)
    return Value(
        (Term(node, term.scale[corner(spatial)].expand(shape), index),),
        value.bias[corner(spatial)].expand(shape),
    )


def total(builder: Builder, name: str, value: Value, dims: list[int], keep: bool) -> Value:
    """Add sums over dimensions."""
    dims = sorted(d % value.bias.dim() for d in dims)
    for d in dims:  # the same integers are counted, not summed
        value = value.counted(d)
    count = math.prod(value.bias.shape[d] for d in dims)
    if not count:
        return Value((), torch.zeros_like(value.bias).sum(dims, keep))
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
    summed = average_pool(builder, name, flat, pool, (list(window),), {}).times(count)
    shape = moved.bias.shape[:-1]
    return summed.moved(lambda tensor: end(tensor.reshape(shape)))


def _sum_pool(
    builder: Builder,
    place: int,
    shape: tuple[int, ...],
    takes: tuple[int, ...],
    *windows: tuple[int, ...],
) -> Node:
    source, (kernel, _, padding) = builder.nodes[place], windows
    low, high = source.low, source.high
    if any(padding):
        low, high = min(0, low), max(0, high)
    count = math.prod(kernel)
    name = f"{source.name}.pool"
    return SumPool(name, (place,), shape, low * count, high * count, takes, *windows)


def _spread(sizes: Any, spatial: int) -> tuple[int, ...]:
    values = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    return values * spatial if len(values) == 1 else values
