"""Products and maxima of spikes: AND, AND of one that is inverted, and OR."""

from __future__ import annotations

import torch

from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.builder import Builder
from qsnn_plugins.export.nodes import Rescale
from qsnn_plugins.export.values import Value, whole

__all__ = ["either", "product"]


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
    (at_a, sign_a, unit_a), (at_b, sign_b, unit_b) = (_spikes(builder, where, v) for v in (a, b))
    if a.bias.shape != b.bias.shape or sign_a + sign_b < 0:
        raise ExportError(f"{where} multiplies spikes in a way that is neither AND nor IAND")
    shift = 2 if sign_a + sign_b else 1
    place = _shifted(builder, name, (at_a, at_b), (sign_a, sign_b), shift)
    scale = torch.full(a.bias.shape, unit_a * unit_b, dtype=torch.float64)
    return whole(place, scale, torch.zeros_like(scale))


def either(
    builder: Builder, name: str, where: str, a: Value, b: Value, is_logical: bool = False
) -> Value:
    """Return the greater of two values of spikes of one bit: s or r = (s + r) >> 1.

    Args:
        builder: The nodes so far.
        name: What joins them.
        where: Its name in errors.
        a: One value.
        b: The other.
        is_logical: Whether the result is 1 whatever the spikes stand for.

    Raises:
        ExportError: If one of them is anything else, or they stand for different values.
    """
    (at_a, sign_a, unit_a), (at_b, sign_b, unit_b) = (_spikes(builder, where, v) for v in (a, b))
    is_known = sign_a == sign_b == 1 and (is_logical or unit_a == unit_b > 0)
    if a.bias.shape != b.bias.shape or not is_known:
        raise ExportError(f"{where} takes the greater of spikes that stand for different values")
    place = _shifted(builder, name, (at_a, at_b), (1, 1), 1)
    scale = torch.full(a.bias.shape, 1.0 if is_logical else unit_a, dtype=torch.float64)
    return whole(place, scale, torch.zeros_like(scale))


def _spikes(builder: Builder, where: str, value: Value) -> tuple[int, int, float]:
    """Return the place of spikes s of one bit, whether they are s or 1 - s (-1), and their unit."""
    terms = builder.merged(value)
    scales = terms[0].scale.unique() if len(terms) == 1 else torch.empty(0)
    node = builder.nodes[terms[0].node] if len(scales) == 1 else None
    is_plain, is_inverted = not value.bias.any(), bool((value.bias == -scales[:1]).all())
    if node is None or node.low < 0 or node.high > 1 or not (is_plain or is_inverted):
        raise ExportError(
            f"{where} multiplies two things that it computes, such as attention, or joins them: of "
            "spikes of one bit products and maxima are known (AND, IAND, OR)"
        )
    sign = 1 if is_plain else -1
    return builder.placed(terms[0], value.bias.shape), sign, sign * float(scales)


def _shifted(
    builder: Builder, name: str, places: tuple[int, int], signs: tuple[int, int], shift: int
) -> int:
    multipliers = torch.tensor(signs, dtype=torch.int32).unsqueeze(1)
    shape, zero = builder.nodes[places[0]].shape, torch.zeros(1, dtype=torch.int32)
    return builder.add(
        ("shifted", *places, *signs, shift),
        lambda: Rescale(f"{name}.gate", places, shape, 0, 1, multipliers, zero, shift, 0),
    )
