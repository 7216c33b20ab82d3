"""The spike part of a spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from qsnn_plugins.functional.spike import MOST_SPIKE_BITS
from qsnn_plugins.functional.surrogate import SurrogateKind
from qsnn_plugins.spec.checks import boolean, choice, integer, number
from qsnn_plugins.spec.options import NOT_GIVEN, Option, Part

__all__ = ["Comparison", "SpikeSpec", "SpikeValue"]

Comparison = Literal["host", "greater_equal", "greater"]
SpikeValue = Literal["count", "threshold"]

_ONE_BIT: Any = {"where": {"bits": (1,)}, "is_forward": False}
_OPTIONS = {
    "bits": Option(integer(1, MOST_SPIKE_BITS), 1),
    "value": Option(choice(SpikeValue), "count"),
    "comparison": Option(choice(Comparison), "host"),
    "limit_sums": Option(boolean, False),
    "surrogate": Option(choice(SurrogateKind), "triangle", **_ONE_BIT),
    "sharpness": Option(number("a number above 0", lambda x: x > 0), 1.0, **_ONE_BIT),
}


@dataclass(frozen=True)
class SpikeSpec(Part):
    """How a charged membrane fires.

    Args:
        surrogate: Surrogate gradient of one-bit spikes; the triangle by default, as in the papers.
            Spikes of several bits have a straight-through gradient within their range instead.
        sharpness: Its sharpness, above 0; the half width of the triangle is 1 / sharpness. 1 by
            default; used only with one bit.
        bits: S, from 1 (default) to 16 (bit budget Eq. 6-7).
        value: Output of the neuron: the "count" 0 .. 2^S - 1 (default), as the networks of the
            hosts expect, or the count times the "threshold", as in Eq. 7. They are equal for V_th =
            1.
        comparison: Whether a membrane exactly at the threshold fires: "greater_equal" yes;
            "greater" no, as in the released codes of IM-SNN and Q-SNN; "host" (default) as the host
            does it: yes in SpikingJelly, no in snnTorch.
        limit_sums: Whether sums of spikes are also clipped to S bits: outputs of SEW blocks, and
            attention matrices of Spikformers (bit budget, section 6.3). Used by `inject`, whose
            report lists the limited layers; neurons have no such sums. False by default.

    Raises:
        ArgumentError: If a value is not allowed, or given for an option that is not used.

    Example:
        >>> SpikeSpec(bits=2).greatest
        3
        >>> print(SpikeSpec(surrogate="sigmoid", sharpness=4.0))
        1 bit, sigmoid surrogate (sharpness 4.0)
    """

    _part, _options = "spike", _OPTIONS

    surrogate: SurrogateKind = NOT_GIVEN
    sharpness: float = NOT_GIVEN
    bits: int = NOT_GIVEN
    value: SpikeValue = NOT_GIVEN
    comparison: Comparison = NOT_GIVEN
    limit_sums: bool = NOT_GIVEN

    @property
    def greatest(self) -> int:
        """The greatest count of a spike."""
        return 2**self.bits - 1

    def fires_at_threshold(self, host: bool) -> bool:
        """Whether a membrane exactly at the threshold fires, given the host's own rule.

        Example:
            >>> SpikeSpec().fires_at_threshold(True)
            True
            >>> SpikeSpec(comparison="greater").fires_at_threshold(True)
            False
        """
        return host if self.comparison == "host" else self.comparison == "greater_equal"

    def __str__(self) -> str:
        """Describe the options in use in words."""
        times = " times the threshold" if self.value == "threshold" else ""
        where = {
            "host": "",
            "greater_equal": ", fires at the threshold",
            "greater": ", fires above the threshold",
        }
        fires = times + where[self.comparison]
        limit = ", sums limited" if self.limit_sums else ""
        if self.bits == 1:
            surrogate = f"{self.surrogate} surrogate (sharpness {self.sharpness})"
            return f"1 bit{fires}, {surrogate}{limit}"
        return f"{self.bits} bits{fires}, straight-through{limit}"
