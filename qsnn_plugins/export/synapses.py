"""Convolutions and matrices of codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.builder import Builder
from qsnn_plugins.export.network import CONVOLUTIONS
from qsnn_plugins.export.nodes import Convolution, Linear
from qsnn_plugins.export.reach import sums
from qsnn_plugins.export.values import Value, whole

__all__ = ["convolution", "linear"]


def convolution(
    builder: Builder,
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
    place, scale = _operand(builder, name, value, takes)
    stride, padding, dilation, groups = geometry
    span = sums(codes, builder.nodes[place].span)
    node = builder.add(
        ("convolution", place, name, geometry),
        lambda: Convolution(
            name,
            (place,),
            tuple(shape[-spatial - 1 :]),
            span.low,
            span.high,
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
        constant = constant + CONVOLUTIONS[spatial](x, weight, *how).reshape(shape)
    if bias is not None:
        constant = constant + bias.double().reshape(-1, *(1,) * spatial)
    return whole(node, grown, constant)


def linear(
    builder: Builder,
    name: str,
    value: Value,
    codes: Tensor,
    unit: Tensor,
    quantizer: Any,
    bias: Tensor | None,
    shape: torch.Size,
) -> Value:
    """Add a linear layer; what it computes has `shape`."""
    place, scale = _operand(builder, name, value, (codes.shape[1],))
    span = sums(codes, builder.nodes[place].span)
    node = builder.add(
        ("linear", place, name),
        lambda: Linear(
            name,
            (place,),
            (len(codes),),
            span.low,
            span.high,
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
    return whole(node, (_per_output(unit, codes) * scale).expand(shape), constant)


def _operand(builder: Builder, name: str, value: Value, shape: Sequence[int]) -> tuple[int, float]:
    """Return a node and the one scale of its integers."""
    terms = builder.merged(value)
    scales = torch.cat([term.scale.flatten() for term in terms]).unique()
    if len(terms) != 1 or scales.numel() != 1:
        raise ExportError(
            f"{name} takes sums in several units: put a neuron in between. They come from a "
            "normalization that no neuron follows, from differences and weighted sums of spikes, "
            "from average pooling with count_include_pad=False, or with ceil_mode=True whose last "
            "windows reach beyond the edge, from a concatenation of spikes and an input that is no "
            "count, or from a threshold per channel under spike.value='threshold', where 'count' "
            "has one unit"
        )
    return builder.placed(terms[0], shape), float(scales)


def _small(codes: Tensor) -> Tensor:
    low, high = torch.aminmax(codes)
    return codes.to(torch.int8 if int(low) > -128 and int(high) < 128 else torch.int16)


def _per_output(unit: Tensor, codes: Tensor) -> Tensor:
    """One unit for each output, [C_out]."""
    each = unit.double().expand(len(codes), *(1,) * (codes.dim() - 1)) if unit.dim() else unit
    return each.double().reshape(-1).expand(len(codes))
