"""The threshold's part of a spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from qsnn_plugins.functional.threshold import ThresholdGradient, WindowKind
from qsnn_plugins.spec.checks import choice
from qsnn_plugins.spec.options import NOT_GIVEN, Option, Part
from qsnn_plugins.spec.weight import Fidelity

__all__ = ["FirstThreshold", "ThresholdSharing", "ThresholdSpec"]

FirstThreshold = Literal["learned", "fixed"]
ThresholdSharing = Literal["layer", "channel"]

_LEARNED = {"gradient": ("ordinary", "separate")}
_OPTIONS = {
    "gradient": Option(choice(ThresholdGradient), "fixed", is_forward=False),
    "window": Option(
        choice(WindowKind), "sigmoid", where={"gradient": ("separate",)}, is_forward=False
    ),
    "per": Option(choice(ThresholdSharing), "layer", where=_LEARNED),
    "first_layer": Option(
        choice(FirstThreshold), "learned", "fixed", where=_LEARNED, is_forward=False
    ),
    "fidelity": Option(choice(Fidelity), "paper", where=_LEARNED, is_forward=False),
}


@dataclass(frozen=True)
class ThresholdSpec(Part):
    """Whether and how a layer's threshold learns.

    Args:
        gradient: "fixed", the default; "ordinary"; or "separate", the separate gradient path of
            SpQuant-SNN Eq. 25-27.
        window: Penalty window of the separate path; the sigmoid by default.
        per: Whether a "layer", the default, or each "channel" has a learned threshold of its own.
        first_layer: Whether that of a network's first layer of neurons is "learned" too, the
            default of the paper's form, or "fixed", as in LT-SNN's code and the default of
            "released". A neuron that is built by hand does not know where it stands.
        fidelity: "paper", the default, divides the gradient of a learned threshold by sqrt(neurons
            that share it · greatest spike), as LSQ does that of a scale; "released" has the plain
            sum, which the paper prints too, and with which SGD moves a threshold by multiples.

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
    first_layer: FirstThreshold = NOT_GIVEN
    fidelity: Fidelity = NOT_GIVEN

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
        but = ", the first layer's fixed" if self.first_layer == "fixed" else ""
        return f"learned per {self.per}, {self.gradient} gradient{path}{but}"
