"""Products of spikes: AND, and AND of one that is inverted."""

from __future__ import annotations

import torch

from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.builder import Builder
from qsnn_plugins.export.nodes import Rescale
from qsnn_plugins.export.values import Value, whole

__all__ = ["product"]


def product(builder: Builder, name: str, where: str, a: Value, b: Value) -> Value:
    """Return the product of two values, each of spikes s of one bit or of 1 - s.

    It is a shift of a sum, which rounds to nearest:

        s r = (s + r) >> 2        (1 - s) r = (r - s) >> 1

    Args:
        builder: The nodes so far.
        name: What multiplies them.
        where: Its name in errors.
        a: One value.
        b: The other.

    Raises:
        ExportError: If one of them is anything else.
    """
    places, signs, units = [], [], []
    for value in (a, b):
        terms = builder.merged(value)
        scales = terms[0].scale.unique() if len(terms) == 1 else torch.empty(0)
        node = builder.nodes[terms[0].node] if len(scales) == 1 else None
        is_plain, is_inverted = not value.bias.any(), bool((value.bias == -scales[:1]).all())
        if node is None or node.low < 0 or node.high > 1 or not (is_plain or is_inverted):
            raise ExportError(
                f"{where} multiplies two things that it computes, such as attention: products of "
                "spikes of one bit are known (cnf='AND', 'IAND')"
            )
        places.append(builder.placed(terms[0], value.bias.shape))
        signs.append(1 if is_plain else -1)
        units.append(float(scales) if is_plain else -float(scales))
    if a.bias.shape != b.bias.shape or signs == [-1, -1]:
        raise ExportError(f"{where} multiplies spikes in a way that is neither AND nor IAND")
    shape = builder.nodes[places[0]].shape
    key = ("product", *places, *signs)
    multipliers = torch.tensor(signs, dtype=torch.int32).unsqueeze(1)
    place = builder.add(
        key,
        lambda: Rescale(
            f"{name}.gate",
            tuple(places),
            shape,
            0,
            1,
            multipliers,
            torch.zeros(1, dtype=torch.int32),
            2 if sum(signs) else 1,
            0,
        ),
    )
    scale = torch.full(a.bias.shape, units[0] * units[1], dtype=torch.float64)
    return whole(place, scale, torch.zeros_like(scale))
