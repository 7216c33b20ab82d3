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

__all__ = ["average_pool", "max_pool", "padded", "total"]


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
    ones = torch.ones_like(value.bias)
    means, bias = pool(ones, *args, **kwargs), pool(value.bias, *args, **kwargs)
    if given.get("ceil_mode"):  # the last windows reach beyond the edge
        sizes = zip(
            ones.shape[-spatial:], means.shape[-spatial:], kernel, stride, padding, strict=True
        )
        more = [max(0, (o - 1) * s + k - size - 2 * p) for size, o, k, s, p in sizes]
        edge = [width for size in reversed(more) for width in (0, size)]
        value, ones = padded(builder, name, value, edge), F.pad(ones, edge)
    pad = [p for size in reversed(padding) for p in (size, size)]
    counts = pool(F.pad(ones, pad), kernel, stride) * math.prod(kernel)
    factor = means / counts
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
    return Value(tuple(terms), bias)


def padded(
    builder: Builder, name: str, value: Value, widths: Sequence[int], constant: float = 0.0
) -> Value:
    """Add a constant around maps, as `F.pad` counts its widths: sums over windows of one place.

    A sum pools as many places beyond either edge; of the wider side all stay.
    """
    spatial = len(widths) // 2
    before, after = list(widths[-2::-2]), list(widths[-1::-2])
    if not 1 <= spatial <= 3 or spatial >= value.bias.dim() or min(widths) < 0:
        raise ExportError(f"{name} pads other dimensions than those of its maps, or cuts them")
    one, padding = (1,) * spatial, tuple(map(max, before, after))
    terms = []
    for term in builder.merged(value):
        term = per_channel(name, term, spatial)
        takes = tuple(term.scale.shape[-spatial - 1 :])
        sizes = [size + 2 * p for size, p in zip(takes[1:], padding, strict=True)]
        place = builder.placed(term, takes)
        node = builder.add(
            ("sum_pool", place, one, one, padding, takes),
            partial(_sum_pool, builder, place, (takes[0], *sizes), takes, one, one, padding),
        )
        index = torch.arange(takes[0] * math.prod(sizes)).reshape(
            *term.scale.shape[:-spatial], *sizes
        )
        for dim, (size, p, b, a) in enumerate(zip(takes[1:], padding, before, after, strict=True)):
            index = index.narrow(dim - spatial, p - b, b + size + a)
        terms.append(Term(node, term.scale[corner(spatial)].expand(index.shape), index))
    return Value(tuple(terms), F.pad(value.bias, list(widths), value=constant))


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
    dilation = _spread(dilation, spatial)
    if ceil or set(dilation) != {1}:
        sizes = value.bias.shape[-spatial:]
        whole, places = _windows(name, sizes, kernel, stride, padding, dilation, ceil)
        rows = value.moved(lambda tensor: tensor.flatten(-spatial)[..., places.flatten()])
        greatest = max_pool(builder, name, rows, (places.shape[1],))
        return greatest.moved(lambda tensor: tensor.reshape(*tensor.shape[:-1], *whole))
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
    ends = [
        (size + 2 * p - k) // s + 1
        for size, p, k, s in zip(takes[1:], padding, kernel, stride, strict=True)
    ]
    shape = (*term.scale.shape[:-spatial], *ends)
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


def _windows(name: str, sizes: tuple[int, ...], *windows: Any) -> tuple[tuple[int, ...], Tensor]:
    """Return the shape of the maxima, and the places of each window, [windows, taps].

    In place of what lies outside of the map stands a place of the same window, which changes no
    maximum.
    """
    *each, ceil = windows
    ends, places = list[int](), torch.zeros(1, 1, dtype=torch.int64)
    for size, k, s, p, d in zip(sizes, *each, strict=True):
        count = (size + 2 * p - d * (k - 1) - 1 + (s - 1) * ceil) // s + 1
        count -= bool(ceil and (count - 1) * s >= size + p)  # one that begins beyond the edge
        along = torch.arange(count)[:, None] * s - p + torch.arange(k) * d
        inside = (along >= 0) & (along < size)
        if not inside.any(1).all():
            raise ExportError(f"{name} takes the greatest of padding alone")
        known = along.gather(1, inside.int().argmax(1, keepdim=True))
        along = torch.where(inside, along, known)
        places = places[:, None, :, None] * size + along[None, :, None, :]
        places = places.reshape(-1, places.shape[2] * k)
        ends.append(count)
    return tuple(ends), places


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
