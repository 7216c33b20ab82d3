"""The threshold's part of a spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from qsnn_plugins.functional.threshold import ThresholdGradient, WindowKind
from qsnn_plugins.spec.checks import choice
from qsnn_plugins.spec.options import NOT_GIVEN, Option, Part

__all__ = ["ThresholdSharing", "ThresholdSpec"]

ThresholdSharing = Literal["layer", "channel"]

_OPTIONS = {
    "gradient": Option(choice(ThresholdGradient), "fixed", is_forward=False),
    "window": Option(
        choice(WindowKind), "sigmoid", where={"gradient": ("separate",)}, is_forward=False
    ),
    "per": Option(choice(ThresholdSharing), "layer", where={"gradient": ("ordinary", "separate")}),
}


@dataclass(frozen=True)
class ThresholdSpec(Part):
    """Whether and how a layer's threshold learns.

    Args:
        gradient: "fixed", the default; "ordinary"; or "separate", the separate gradient path of
            SpQuant-SNN Eq. 25-27.
        window: Penalty window of the separate path; the sigmoid by default.
        per: Whether a "layer", the default, or each "channel" has a learned threshold of its own.

    Raises:
        ArgumentError: If a value is not allowed, or given for an option that is not read.

    Example:
        >>> ThresholdSpec(gradient="separate").learned
        True
        >>> print(ThresholdSpec(gradient="separate", per="channel"))
        learned per channel, separate gradient path (sigmoid window)
    """

    _part, _options = "threshold", _OPTIONS

    gradient: ThresholdGradient = NOT_GIVEN
    window: WindowKind = NOT_GIVEN
    per: ThresholdSharing = NOT_GIVEN

    @property
    def learned(self) -> bool:
        """Whether the threshold is a parameter."""
        return self.gradient != "fixed"

    def forward_options(self) -> dict[str, Any]:
        """Return what is read and changes what is computed, as plain values."""
        return {"learned": self.learned, **super().forward_options()}

    def __str__(self) -> str:
        """Say in words what applies."""
        if not self.learned:
            return "fixed"
        path = f" path ({self.window} window)" if self.gradient == "separate" else ""
        return f"learned per {self.per}, {self.gradient} gradient{path}"
