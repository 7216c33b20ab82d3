"""Base surrogates: smooth replacements of a step function, and their derivatives.

Every surrogate here is one unit shape: a primitive P that rises from 0 to 1 around z = 0, and its
derivative p. A sharpness s scales both, P(s x) and s p(s x), so that the area stays the same:

    kind                    p(z)                            printed as
    triangle                max(0, 1 - |z|)                 SpQuant-SNN Eq. 4
    rectangle               1 where |z| < 1/2               Q-SNN, a window of width 1
    sigmoid                 σ(z) (1 - σ(z))                 IM-SNN Eq. 9, Table II
    arctan                  1 / (2 (1 + (π z / 2)²))        IM-SNN Table II
    piecewise_leaky_relu    1/2 where |z| <= 1, else 0.01   Shymyrbay et al. (SpikingJelly, w = 1)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError

__all__ = ["SURROGATES", "SurrogateKind", "check_surrogate", "derivative", "primitive"]

SurrogateKind = Literal["triangle", "rectangle", "sigmoid", "arctan", "piecewise_leaky_relu"]

LEAK = 0.01  # slope of the piecewise leaky ReLU outside its window


class UnitShape(NamedTuple):
    """A primitive and its derivative, both at sharpness 1."""

    primitive: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]


def _triangle_primitive(z: Tensor) -> Tensor:
    z = z.clamp(-1, 1)
    return 0.5 + z - 0.5 * z * z.abs()


def _triangle_derivative(z: Tensor) -> Tensor:
    return (1 - z.abs()).clamp(min=0)


def _rectangle_primitive(z: Tensor) -> Tensor:
    return (z + 0.5).clamp(0, 1)


def _rectangle_derivative(z: Tensor) -> Tensor:
    return (z.abs() < 0.5).to(z.dtype)


def _sigmoid_derivative(z: Tensor) -> Tensor:
    y = z.sigmoid()
    return y * (1 - y)


def _arctan_primitive(z: Tensor) -> Tensor:
    return torch.atan(math.pi / 2 * z) / math.pi + 0.5


def _arctan_derivative(z: Tensor) -> Tensor:
    return 0.5 / (1 + (math.pi / 2 * z) ** 2)


def _piecewise_primitive(z: Tensor) -> Tensor:
    inside = z.clamp(-1, 1)
    return 0.5 * inside + 0.5 + LEAK * (z - inside)


def _piecewise_derivative(z: Tensor) -> Tensor:
    return torch.where(z.abs() <= 1, 0.5, torch.full_like(z, LEAK))


SURROGATES: dict[SurrogateKind, UnitShape] = {
    "triangle": UnitShape(_triangle_primitive, _triangle_derivative),
    "rectangle": UnitShape(_rectangle_primitive, _rectangle_derivative),
    "sigmoid": UnitShape(torch.sigmoid, _sigmoid_derivative),
    "arctan": UnitShape(_arctan_primitive, _arctan_derivative),
    "piecewise_leaky_relu": UnitShape(_piecewise_primitive, _piecewise_derivative),
}


def check_surrogate(argument: str, kind: str) -> None:
    """Raise an error that names `argument` unless `kind` is one of `SURROGATES`.

    Raises:
        ArgumentError: If `kind` is unknown.

    Example:
        >>> check_surrogate("surrogate", "sigmoid")
    """
    if kind not in SURROGATES:
        raise ArgumentError(argument, kind, f"one of {', '.join(get_args(SurrogateKind))}")


def primitive(x: Tensor, kind: SurrogateKind = "triangle", sharpness: float = 1.0) -> Tensor:
    """Smooth step P(s x) whose derivative is `derivative`.

    Args:
        x: Distance from the threshold, any shape.
        kind: Name of the unit shape.
        sharpness: s > 0; the window narrows and rises as s grows.

    Returns:
        Values that rise from 0 to 1 (the leaky kind goes beyond), shape of `x`.

    Raises:
        ArgumentError: If `kind` is unknown or `sharpness` is not positive.

    Example:
        >>> primitive(torch.tensor([-1.0, 0.0, 1.0]), "triangle")
        tensor([0.0000, 0.5000, 1.0000])
    """
    _check(kind, sharpness)
    return SURROGATES[kind].primitive(sharpness * x)


def derivative(x: Tensor, kind: SurrogateKind = "triangle", sharpness: float = 1.0) -> Tensor:
    """Surrogate derivative s p(s x) of a step.

    Args:
        x: Distance from the threshold, any shape.
        kind: Name of the unit shape.
        sharpness: s > 0; the triangle's half width is γ = 1/s, as in (1/γ²) max(0, γ - |x|).

    Returns:
        Surrogate derivative, shape of `x`.

    Raises:
        ArgumentError: If `kind` is unknown or `sharpness` is not positive.

    Example:
        >>> derivative(torch.tensor([-1.0, 0.0, 0.5]), "triangle", sharpness=2.0)
        tensor([0., 2., 0.])
    """
    _check(kind, sharpness)
    return sharpness * SURROGATES[kind].derivative(sharpness * x)


def _check(kind: str, sharpness: float) -> None:
    check_surrogate("kind", kind)
    if not sharpness > 0:
        raise ArgumentError("sharpness", sharpness, "a number above 0")
