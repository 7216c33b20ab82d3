"""The spike's part of a spec."""

from __future__ import annotations

from dataclasses import dataclass

from qsnn_plugins.functional.surrogate import SurrogateKind, check_surrogate
from qsnn_plugins.spec.checks import check_positive

__all__ = ["SpikeSpec"]


@dataclass(frozen=True)
class SpikeSpec:
    """How a charged membrane fires.

    Args:
        surrogate: Surrogate of the spike; the papers' is the triangle.
        sharpness: Its sharpness, above 0; the triangle's half width is 1 / sharpness.

    Raises:
        ArgumentError: If a value is not allowed.

    Example:
        >>> SpikeSpec(surrogate="sigmoid", sharpness=4.0)
        SpikeSpec(surrogate='sigmoid', sharpness=4.0)
    """

    surrogate: SurrogateKind = "triangle"
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        check_surrogate("spike.surrogate", self.surrogate)
        check_positive("spike.sharpness", self.sharpness)
