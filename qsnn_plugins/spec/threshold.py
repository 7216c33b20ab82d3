"""The threshold's part of a spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qsnn_plugins.functional.threshold import ThresholdGradient, WindowKind
from qsnn_plugins.spec.checks import check_choice

__all__ = ["ThresholdSharing", "ThresholdSpec"]

ThresholdSharing = Literal["layer", "channel"]


@dataclass(frozen=True)
class ThresholdSpec:
    """Whether and how a layer's threshold learns.

    Args:
        gradient: "fixed"; "ordinary"; or "separate", the separate gradient path of SpQuant-SNN
            Eq. 25-27.
        window: Penalty window of the separate path.
        per: Whether a "layer" or each "channel" has a learned threshold of its own.

    Raises:
        ArgumentError: If a value is not allowed.

    Example:
        >>> ThresholdSpec(gradient="separate").learned
        True
        >>> print(ThresholdSpec(gradient="separate", per="channel"))
        learned, one a channel, separate gradient path (sigmoid window)
    """

    gradient: ThresholdGradient = "fixed"
    window: WindowKind = "sigmoid"
    per: ThresholdSharing = "layer"

    def __post_init__(self) -> None:
        check_choice("threshold.gradient", self.gradient, ThresholdGradient)
        check_choice("threshold.window", self.window, WindowKind)
        check_choice("threshold.per", self.per, ThresholdSharing)

    @property
    def learned(self) -> bool:
        """Whether the threshold is a parameter."""
        return self.gradient != "fixed"

    def __str__(self) -> str:
        """Say in words what applies."""
        if not self.learned:
            return "fixed"
        path = f" path ({self.window} window)" if self.gradient == "separate" else ""
        return f"learned, one a {self.per}, {self.gradient} gradient{path}"
