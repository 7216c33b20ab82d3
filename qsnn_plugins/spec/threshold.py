"""The threshold's part of a spec."""

from __future__ import annotations

from dataclasses import dataclass

from qsnn_plugins.functional.threshold import ThresholdGradient, WindowKind
from qsnn_plugins.spec.checks import check_choice

__all__ = ["ThresholdSpec"]


@dataclass(frozen=True)
class ThresholdSpec:
    """Whether and how a layer's threshold learns.

    Args:
        gradient: "fixed"; "ordinary"; or "separate", the separate gradient path of SpQuant-SNN
            Eq. 25-27.
        window: Penalty window of the separate path.

    Raises:
        ArgumentError: If a value is not allowed.

    Example:
        >>> ThresholdSpec(gradient="separate").learned
        True
    """

    gradient: ThresholdGradient = "fixed"
    window: WindowKind = "sigmoid"

    def __post_init__(self) -> None:
        check_choice("threshold.gradient", self.gradient, ThresholdGradient)
        check_choice("threshold.window", self.window, WindowKind)

    @property
    def learned(self) -> bool:
        """Whether the threshold is a parameter."""
        return self.gradient != "fixed"
