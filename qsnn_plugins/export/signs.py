"""Scales that are negative: the sign goes into the codes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.export.builder import Builder
from qsnn_plugins.export.nodes import Convolution, Linear, Rescale, SumPool
from qsnn_plugins.export.reach import sums
from qsnn_plugins.export.values import Term

__all__ = ["rising"]


def rising(builder: Builder, term: Term) -> Term:
    """Turn the sign where a scale is negative, in the codes themselves where possible."""
    negative = term.scale < 0
    if not negative.any():
        return term
    node = builder.nodes[term.node]
    signs = torch.zeros(math.prod(node.shape), dtype=torch.bool)
    signs[term.index.flatten()] = negative.flatten()
    turned = _turned(builder, term.node, signs.reshape(node.shape))
    return Term(turned, term.scale.abs(), term.index)


def _turned(builder: Builder, place: int, signs: Tensor) -> int:
    node = builder.nodes[place]
    flat = signs.reshape(len(signs), -1)
    per_channel = bool((flat == flat[:, :1]).all())
    if isinstance(node, Convolution | Linear) and per_channel:
        key = ("turned", place, tuple(flat[:, 0].tolist()))
        shape = (-1, *(1,) * (node.codes.dim() - 1))
        sign = torch.where(flat[:, 0], -1, 1).to(node.codes.dtype).reshape(shape)
        levels = tuple(sorted({*node.levels, *(-level for level in node.levels)}))
        codes = node.codes * sign
        span = sums(codes, builder.nodes[node.inputs[0]].span)
        how: dict[str, Any] = {"codes": codes, "levels": levels, "low": span.low, "high": span.high}
        return builder.add(key, lambda: replace(node, **how))
    if isinstance(node, SumPool) and per_channel:
        inner = flat[:, :1].expand(-1, math.prod(node.takes[1:])).reshape(node.takes)
        source = _turned(builder, node.inputs[0], inner)
        greatest = max(abs(node.low), abs(node.high))
        return builder.add(
            ("turned", place, source),
            lambda: replace(node, inputs=(source,), low=-greatest, high=greatest),
        )
    greatest = max(abs(node.low), abs(node.high))
    multipliers = torch.where(signs.flatten(), -1, 1).to(torch.int32).unsqueeze(0)
    return builder.add(
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
