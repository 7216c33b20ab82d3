"""The threshold part of a spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from qsnn_plugins.functional.scale import Granularity
from qsnn_plugins.functional.threshold import ThresholdGradient, WindowKind
from qsnn_plugins.spec.checks import choice
from qsnn_plugins.spec.options import NOT_GIVEN, Option, Part
from qsnn_plugins.spec.weight import Fidelity

__all__ = ["FirstThreshold", "ThresholdSpec"]

FirstThreshold = Literal["learned", "fixed"]

_LEARNED = {"gradient": ("ordinary", "separate")}
_OPTIONS = {
    "gradient": Option(choice(ThresholdGradient), "fixed", is_forward=False),
    "window": Option(
        choice(WindowKind), "sigmoid", where={"gradient": ("separate",)}, is_forward=False
    ),
    "per": Option(choice(Granularity), "layer", where=_LEARNED),
    "first_layer": Option(
        choice(FirstThreshold), "learned", "fixed", where=_LEARNED, is_forward=False
    ),
    "fidelity": Option(choice(Fidelity), "paper", where=_LEARNED, is_forward=False),
}


@dataclass(frozen=True)
class ThresholdSpec(Part):
    """Whether and how the threshold of a layer is learned.

    Args:
        gradient: "fixed" (default) for no learning; "ordinary"; or "separate", the separate
            gradient path of SpQuant-SNN Eq. 25-27.
        window: Penalty window of the separate path; "sigmoid" by default.
        per: One learned threshold per "layer" (default) or per "channel".
        first_layer: Whether the threshold of the first layer of neurons is "learned" too (default
            for "paper"), or "fixed", as in LT-SNN's code (default for "released"). A neuron that
            you build yourself does not know whether it is in the first layer.
        fidelity: "paper" (default) divides the gradient of a learned threshold by sqrt(neurons that
            share it · greatest spike), as LSQ does for scales. "released" uses the plain sum, which
            the paper prints too, but with which SGD can change a threshold by a multiple of its
            value.

    Raises:
        ArgumentError: If a value is not allowed, or given for an option that is not used.

    Example:
        >>> ThresholdSpec(gradient="separate").learned
        True
        >>> print(ThresholdSpec(gradient="separate", per="channel"))
        learned per channel, separate gradient path (sigmoid window)
    """

    _part, _options = "threshold", _OPTIONS

    gradient: ThresholdGradient = NOT_GIVEN
    window: WindowKind = NOT_GIVEN
    per: Granularity = NOT_GIVEN
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
        """Describe the options in use in words."""
        if not self.learned:
            return "fixed"
        path = f" path ({self.window} window)" if self.gradient == "separate" else ""
        but = ", the first layer's fixed" if self.first_layer == "fixed" else ""
        return f"learned per {self.per}, {self.gradient} gradient{path}{but}"
