"""The membrane's part of a spec."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.membrane.stacked import TERNARY, MembraneGradient, check_levels
from qsnn_plugins.functional.membrane.threshold_centred import threshold_centred_levels
from qsnn_plugins.functional.membrane.uniform import uniform_levels
from qsnn_plugins.functional.scale import check_bits
from qsnn_plugins.functional.surrogate import SurrogateKind, check_surrogate
from qsnn_plugins.spec.checks import check_choice, check_positive

__all__ = ["MembraneKind", "MembraneScale", "MembraneSpec", "ScaleAtEvaluation"]

MembraneKind = Literal["float", "clip", "levels", "pruned", "threshold_centred", "uniform", "tanh"]
MembraneScale = Literal["running", "step_max", "learned", "fixed"]
ScaleAtEvaluation = Literal["running", "published"]

_SCALED = ("uniform", "tanh")


@dataclass(frozen=True)
class MembraneSpec:
    """What is stored of a membrane from step to step.

    Args:
        kind: "float" keeps 32 bits; "clip" does too, within `lower` and `upper` (IM-SNN Table I);
            "levels" keeps the nearest of `levels` (IM-SNN Eq. 5); "pruned" keeps those of them
            that are not negative (IM-SNN Eq. 12-14); "threshold_centred" the nearest of 2^bits
            levels that crowd around the threshold `scale_value` (SQUAT, in snnTorch); "uniform"
            `bits` bits in equal steps (Q-SNN Eq. 8); "tanh" the same of tanh(u), as Q-SNN's
            released code and, with a learned scale, MINT do.
        levels: Levels in ascending order; the default is ternary.
        gradient: Gradient of the quantizer, see `functional.nearest_level`. "tanh" has the slope
            of tanh.
        surrogate: Base surrogate of the stacked gradient.
        smoothness: Its T, above 0 (IM-SNN Eq. 9).
        bits: Bits of "uniform", "tanh" and "threshold_centred", from 1 to 8.
        scale: Where the scale of "uniform" and "tanh" comes from: a "running" average of the
            steps' maxima; the "step_max" itself, as published; "learned"; or "fixed".
        scale_value: The fixed scale, the first value of a learned one or of an average, or the
            threshold of "threshold_centred"; above 0.
        evaluation: What "step_max" does at evaluation: "running" takes the average that training
            kept, and warns; "published" takes the step's maximum, by which a sample's answer
            depends on its neighbours in the batch.
        momentum: Weight of a new maximum in the running average, above 0 and to 1.
        lower: Least membrane of "clip".
        upper: Greatest membrane of "clip".

    Raises:
        ArgumentError: If a value is not allowed.

    Example:
        >>> MembraneSpec().storage_bits, MembraneSpec(kind="float").storage_bits
        (2, 32)
        >>> print(MembraneSpec(kind="uniform", bits=4, scale="learned"))
        uniform, 4 bits, learned scale, stacked gradient (sigmoid, smoothness 2.0)
    """

    kind: MembraneKind = "levels"
    levels: tuple[float, ...] = TERNARY
    gradient: MembraneGradient = "stacked"
    surrogate: SurrogateKind = "sigmoid"
    smoothness: float = 2.0
    bits: int = 2
    scale: MembraneScale = "running"
    scale_value: float = 1.0
    evaluation: ScaleAtEvaluation = "running"
    momentum: float = 0.1
    lower: float = -1.0
    upper: float = 1.0

    def __post_init__(self) -> None:
        check_choice("membrane.kind", self.kind, MembraneKind)
        object.__setattr__(self, "levels", check_levels(self.levels, "membrane.levels"))
        check_choice("membrane.gradient", self.gradient, MembraneGradient)
        check_surrogate("membrane.surrogate", self.surrogate)
        check_positive("membrane.smoothness", self.smoothness)
        check_bits("membrane.bits", self.bits)
        check_choice("membrane.scale", self.scale, MembraneScale)
        check_positive("membrane.scale_value", self.scale_value)
        check_choice("membrane.evaluation", self.evaluation, ScaleAtEvaluation)
        if not 0 < self.momentum <= 1:
            raise ArgumentError("membrane.momentum", self.momentum, "a number above 0 and to 1")
        if not self.lower < self.upper:
            allowed = f"a number below membrane.upper={self.upper}"
            raise ArgumentError("membrane.lower", self.lower, allowed)
        if self.kind == "pruned" and not (0 in self.levels and self.levels[-1] > 0):
            raise ArgumentError("membrane.levels", self.levels, "levels with 0 and one above it")

    @property
    def level_table(self) -> tuple[float, ...]:
        """Levels that can be stored, at scale 1; none where the membrane stays a float."""
        if self.kind == "levels":
            return self.levels
        if self.kind == "pruned":
            return tuple(level for level in self.levels if level >= 0)
        if self.kind == "threshold_centred":
            return threshold_centred_levels(self.bits, self.scale_value)
        return uniform_levels(self.bits) if self.kind in _SCALED else ()

    @property
    def storage_bits(self) -> int:
        """Whole bits that one stored membrane takes on a chip."""
        table = self.level_table
        return math.ceil(math.log2(len(table))) if table else 32

    @property
    def is_idempotent(self) -> bool:
        """Whether storing twice is storing once, as snnTorch needs; tanh acts each time."""
        return self.kind != "tanh"

    def __str__(self) -> str:
        """Say in words what applies to the kind."""
        if self.kind == "float":
            return "float, 32 bits"
        if self.kind == "clip":
            return f"clip to [{self.lower}, {self.upper}], 32 bits"
        words = [f"{self.kind}, {self.storage_bits} bit{'s' * (self.storage_bits > 1)}"]
        if self.kind in ("levels", "pruned"):
            words[0] += " " + str(self.level_table)
        if self.kind in _SCALED:
            value = f" {self.scale_value}" if self.scale == "fixed" else ""
            words.append(f"{self.scale} scale{value}")
            if self.scale == "step_max":
                words[-1] += f" ({self.evaluation} at evaluation)"
        if self.kind == "tanh":
            return ", ".join(words)
        shape = f" ({self.surrogate}, smoothness {self.smoothness})"
        words.append(f"{self.gradient} gradient" + shape * (self.gradient == "stacked"))
        return ", ".join(words)
