"""The membrane's part of a spec."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from qsnn_plugins.functional.membrane import TERNARY, MembraneGradient, check_levels
from qsnn_plugins.functional.surrogate import SurrogateKind, check_surrogate
from qsnn_plugins.spec.checks import check_choice, check_positive

__all__ = ["MembraneKind", "MembraneSpec"]

MembraneKind = Literal["float", "levels"]


@dataclass(frozen=True)
class MembraneSpec:
    """What is stored of a membrane from step to step.

    Args:
        kind: "float" keeps 32 bits, "levels" the nearest of `levels` (IM-SNN Eq. 5).
        levels: Levels in ascending order; the default is ternary.
        gradient: Gradient of the quantizer, see `functional.nearest_level`.
        surrogate: Base surrogate of the stacked gradient.
        smoothness: Its T, above 0 (IM-SNN Eq. 9).

    Raises:
        ArgumentError: If a value is not allowed.

    Example:
        >>> MembraneSpec().storage_bits, MembraneSpec(kind="float").storage_bits
        (2, 32)
    """

    kind: MembraneKind = "levels"
    levels: tuple[float, ...] = TERNARY
    gradient: MembraneGradient = "stacked"
    surrogate: SurrogateKind = "sigmoid"
    smoothness: float = 2.0

    def __post_init__(self) -> None:
        check_choice("membrane.kind", self.kind, MembraneKind)
        object.__setattr__(self, "levels", check_levels(self.levels))
        check_choice("membrane.gradient", self.gradient, MembraneGradient)
        check_surrogate("membrane.surrogate", self.surrogate)
        check_positive("membrane.smoothness", self.smoothness)

    @property
    def storage_bits(self) -> int:
        """Whole bits that one stored membrane takes on a chip."""
        return 32 if self.kind == "float" else math.ceil(math.log2(len(self.levels)))
