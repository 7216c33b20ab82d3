"""The weights' part of a spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qsnn_plugins.functional.weight import power_of_two_grid
from qsnn_plugins.spec.checks import check_choice

__all__ = ["WeightEnds", "WeightKind", "WeightSpec"]

WeightKind = Literal["float", "power_of_two"]
WeightEnds = Literal["same", "float"]


@dataclass(frozen=True)
class WeightSpec:
    """How the weights of Conv and Linear layers are stored.

    Args:
        kind: "float" keeps 32 bits, "power_of_two" is SpQuant-SNN Eq. 14-18.
        bits: Bits a weight.
        ends: What the first and the last layer get: the "same" as the others (the papers' memory
            figures count them so) or "float".

    Raises:
        ArgumentError: If a value is not allowed.

    Example:
        >>> WeightSpec(kind="power_of_two", bits=4).storage_bits
        4
    """

    kind: WeightKind = "float"
    bits: int = 4
    ends: WeightEnds = "same"

    def __post_init__(self) -> None:
        check_choice("weight.kind", self.kind, WeightKind)
        check_choice("weight.ends", self.ends, WeightEnds)
        power_of_two_grid(self.bits)

    @property
    def storage_bits(self) -> int:
        """Bits that one stored weight takes."""
        return 32 if self.kind == "float" else self.bits
