"""The spike's part of a spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qsnn_plugins.functional.scale import check_bits
from qsnn_plugins.functional.surrogate import SurrogateKind, check_surrogate
from qsnn_plugins.spec.checks import check_choice, check_positive

__all__ = ["SpikeSpec", "SpikeValue"]

SpikeValue = Literal["count", "threshold"]


@dataclass(frozen=True)
class SpikeSpec:
    """How a charged membrane fires.

    Args:
        surrogate: Surrogate of a one-bit spike; the papers' is the triangle. A spike of several
            bits has the straight-through gradient within its range.
        sharpness: Its sharpness, above 0; the triangle's half width is 1 / sharpness.
        bits: S, from 1 to 8 (bit budget Eq. 6-7).
        value: What is sent on: the "count" 0 .. 2^S - 1, as hosts' networks expect; or the count
            times the "threshold", as Eq. 7 prints. At V_th = 1 they are the same.

    Raises:
        ArgumentError: If a value is not allowed.

    Example:
        >>> SpikeSpec(bits=2).greatest
        3
        >>> print(SpikeSpec(surrogate="sigmoid", sharpness=4.0))
        1 bit, sigmoid surrogate (sharpness 4.0)
    """

    surrogate: SurrogateKind = "triangle"
    sharpness: float = 1.0
    bits: int = 1
    value: SpikeValue = "count"

    def __post_init__(self) -> None:
        check_surrogate("spike.surrogate", self.surrogate)
        check_positive("spike.sharpness", self.sharpness)
        check_bits("spike.bits", self.bits)
        check_choice("spike.value", self.value, SpikeValue)

    @property
    def greatest(self) -> int:
        """The greatest count of a spike."""
        return 2**self.bits - 1

    def __str__(self) -> str:
        """Say in words what applies."""
        times = " times the threshold" if self.value == "threshold" else ""
        if self.bits == 1:
            return f"1 bit{times}, {self.surrogate} surrogate (sharpness {self.sharpness})"
        return f"{self.bits} bits{times}, straight-through"
