"""The membrane's part of a spec."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.membrane.stacked import TERNARY, MembraneGradient
from qsnn_plugins.functional.membrane.threshold_centred import threshold_centred_levels
from qsnn_plugins.functional.membrane.uniform import uniform_levels
from qsnn_plugins.functional.surrogate import SurrogateKind
from qsnn_plugins.spec.checks import choice, integer, levels, number
from qsnn_plugins.spec.custom import CUSTOM, build_custom, import_path
from qsnn_plugins.spec.options import NOT_GIVEN, Kind, KindPart, Option

__all__ = ["MembraneKind", "MembraneScale", "MembraneSpec", "ScaleAtEvaluation"]

MembraneKind = Literal[
    "float", "clip", "levels", "pruned", "uniform", "tanh", "threshold_centred", "custom"
]
MembraneScale = Literal["running", "step_max", "learned", "fixed"]
ScaleAtEvaluation = Literal["running", "published"]

_POSITIVE = number("a number above 0", lambda x: x > 0)
_STACKED: Any = {"where": {"gradient": ("stacked",)}, "is_forward": False}
_GRADIENT = {
    "gradient": Option(choice(MembraneGradient), "stacked", is_forward=False),
    "surrogate": Option(choice(SurrogateKind), "sigmoid", **_STACKED),
    "smoothness": Option(_POSITIVE, 2.0, **_STACKED),
}
_LEVELS = {"levels": Option(levels, TERNARY), **_GRADIENT}
_BITS = Option(integer(1, 8), 2)
# an average is kept, and begun with a value, where something reads it
_AVERAGE = {"scale": ("running", "step_max"), "evaluation": (None, "running")}
_SCALED = {
    "bits": _BITS,
    "scale": Option(choice(MembraneScale), "running"),
    "evaluation": Option(choice(ScaleAtEvaluation), "running", where={"scale": ("step_max",)}),
    "scale_value": Option(_POSITIVE, 1.0, where={"evaluation": (None, "running")}),
    "momentum": Option(
        number("a number above 0 and to 1", lambda x: 0 < x <= 1),
        0.1,
        where=_AVERAGE,
        is_forward=False,
    ),
}


@dataclass(frozen=True)
class _MembraneKind(Kind):
    """A kind with the levels that it can store at scale 1; none where they are not a table."""

    level_table: Callable[[MembraneSpec], tuple[float, ...]] = lambda _: ()


_KINDS = {
    "float": _MembraneKind("torch.nn.Identity", {}),
    "clip": _MembraneKind(
        "qsnn_plugins.nn.ClipMembrane",
        {"lower": Option(number("a number"), -1.0), "upper": Option(number("a number"), 1.0)},
    ),
    "levels": _MembraneKind("qsnn_plugins.nn.NearestLevel", _LEVELS, lambda spec: spec.levels),
    "pruned": _MembraneKind(
        "qsnn_plugins.nn.NearestLevel",
        _LEVELS,
        lambda spec: tuple(level for level in spec.levels if level >= 0),
    ),
    "uniform": _MembraneKind(
        "qsnn_plugins.nn.UniformMembrane",
        {**_SCALED, **_GRADIENT},
        lambda spec: uniform_levels(spec.bits),
    ),
    "tanh": _MembraneKind(
        "qsnn_plugins.nn.UniformMembrane", _SCALED, lambda spec: uniform_levels(spec.bits)
    ),
    "threshold_centred": _MembraneKind(
        "qsnn_plugins.nn.NearestLevel",
        {"bits": _BITS, "scale_value": Option(_POSITIVE, 1.0), **_GRADIENT},
        lambda spec: threshold_centred_levels(spec.bits, spec.scale_value),
    ),
    "custom": _MembraneKind("", CUSTOM),
}


@dataclass(frozen=True)
class MembraneSpec(KindPart):
    """What is stored of a membrane from step to step.

        kind                stored                                        bits
        levels              nearest of `levels` (IM-SNN Eq. 5)            as many as they need
        pruned              those not negative (IM-SNN Eq. 12-14)         as many as they need
        uniform             equal steps (Q-SNN Eq. 8)                     `bits`
        tanh                the same of tanh(u) (Q-SNN's code, MINT)      `bits`
        threshold_centred   2^bits levels that crowd around the           `bits`
                            threshold (SQUAT, in snnTorch)
        clip                between `lower` and `upper` (IM-SNN Table I)  32
        float               all of it                                     32
        custom              what the module `class_path` returns          its `bits`

    Levels, bounds and the fixed or first scale are those of a neuron with threshold 1: `inject`
    builds neurons with other thresholds `in_units_of` them.

    An option that is None was not given and has its default, or is not read. Giving an option
    that the kind does not read is an error.

    A module of your own, kind "custom", has `forward(u)` that returns a tensor of the shape of u,
    `bits`, and `codes(u)` that returns integer codes and a scalar unit, such that codes * unit is
    what forward returns in eval mode, up to rounding. Codes are those of a signed integer of so
    many bits (-1 and 1 for one bit) unless the module has `levels`, a tuple of the integers that
    occur.

    Args:
        kind: See above; "levels" by default, and "custom" where `class_path` is given.
        levels: Levels of "levels" and "pruned" in ascending order; the default is ternary.
        gradient: Gradient of the quantizer, see `functional.nearest_level`; not read by "tanh",
            which has the slope of tanh.
        surrogate: Base surrogate of the stacked gradient.
        smoothness: T of the stacked gradient, above 0 (IM-SNN Eq. 9); 2 by default.
        bits: Bits of "uniform", "tanh" and "threshold_centred", from 1 to 8; 2 by default.
        scale: Scale of "uniform" and "tanh": a "running" average of the maxima of the steps; the
            maximum of the step itself ("step_max", as published); "learned"; or "fixed".
        scale_value: The fixed scale, the initial value of a learned scale or of a running average,
            or the threshold of "threshold_centred"; above 0, 1 by default.
        evaluation: What "step_max" does at evaluation: "running" uses the running average of the
            training, with a warning; "published" uses the maximum of the step, so that the result
            for a sample depends on the other samples in its batch.
        momentum: Weight of a new maximum in the running average, above 0 and up to 1; 0.1 by
            default.
        lower: Lower bound of "clip", -1 by default.
        upper: Upper bound of "clip", 1 by default.
        class_path: Import path of your own module; `MembraneSpec.custom` takes the class itself.
        init_args: Arguments of its constructor, plain values.

    Raises:
        ArgumentError: If a value is not allowed, or given for an option that this kind does not
            use.

    Example:
        >>> MembraneSpec().storage_bits, MembraneSpec(kind="float").storage_bits
        (2, 32)
        >>> print(MembraneSpec(kind="uniform", bits=4, scale="learned"))
        uniform, 4 bits, learned scale, stacked gradient (sigmoid, smoothness 2.0)
        >>> MembraneSpec(bits=4)
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: membrane.bits=4 is not allowed: \
give None for kind 'levels'; 'uniform', 'tanh' and 'threshold_centred' read it
    """

    _part, _kinds, _default_kind = "membrane", _KINDS, "levels"

    kind: MembraneKind = NOT_GIVEN
    levels: tuple[float, ...] = NOT_GIVEN
    gradient: MembraneGradient = NOT_GIVEN
    surrogate: SurrogateKind = NOT_GIVEN
    smoothness: float = NOT_GIVEN
    bits: int = NOT_GIVEN
    scale: MembraneScale = NOT_GIVEN
    scale_value: float = NOT_GIVEN
    evaluation: ScaleAtEvaluation = NOT_GIVEN
    momentum: float = NOT_GIVEN
    lower: float = NOT_GIVEN
    upper: float = NOT_GIVEN

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind == "clip" and not self.lower < self.upper:
            allowed = f"a number below membrane.upper={self.upper}"
            raise ArgumentError("membrane.lower", self.lower, allowed)
        if self.kind == "pruned" and not (0 in self.levels and self.levels[-1] > 0):
            raise ArgumentError("membrane.levels", self.levels, "levels with 0 and one above it")

    @classmethod
    def custom(cls, quantizer: type, /, **init_args: Any) -> MembraneSpec:
        """Return the spec of a membrane quantizer of your own.

        Args:
            quantizer: Its class; see above for the attributes that it needs.
            **init_args: Arguments of its constructor, plain values.

        Raises:
            ArgumentError: If the class cannot be imported by its path, or a value is not a plain
                value.
        """
        return cls(class_path=import_path(quantizer), init_args=init_args)

    @property
    def level_table(self) -> tuple[float, ...]:
        """Levels that can be stored, at scale 1; empty for floats and modules of your own."""
        return _KINDS[self.kind].level_table(self)

    @property
    def level_count(self) -> int:
        """Number of levels that can be stored; 0 for a float membrane."""
        if self.kind == "custom":
            return len(build_custom(self).levels)
        return len(self.level_table)

    @property
    def storage_bits(self) -> int:
        """Whole bits that one stored membrane needs on a chip."""
        if self.kind == "custom":
            return build_custom(self).bits
        return math.ceil(math.log2(self.level_count)) if self.level_count else 32

    def forward_options(self) -> dict[str, Any]:
        """Return the options in use that change a forward, without scales that change."""
        options = super().forward_options()
        if self.scale not in (None, "fixed"):
            options.pop("scale_value", None)
        return options

    def in_units_of(self, threshold: float) -> MembraneSpec:
        """Return the spec with levels, bounds and fixed or initial scale multiplied by a threshold.

        A neuron with this spec and this threshold stores the same membranes as a neuron with
        threshold 1, multiplied by the threshold, and with the same slopes. "tanh" and modules of
        your own are not changed.

        Args:
            threshold: Above 0.

        Example:
            >>> spec = MembraneSpec().in_units_of(0.5)
            >>> spec.levels, spec.smoothness
            ((-0.5, 0.0, 0.5), 4.0)
        """
        if threshold == 1 or self.kind in ("tanh", "custom"):
            return self
        changes: dict[str, Any] = {
            name: value * threshold
            for name in ("scale_value", "lower", "upper")
            if (value := getattr(self, name)) is not None
        }
        if self.levels is not None:
            changes["levels"] = tuple(level * threshold for level in self.levels)
        if self.smoothness is not None and self.kind != "uniform":  # there it is per scale
            changes["smoothness"] = self.smoothness / threshold
        return replace(self, **changes)

    @property
    def is_idempotent(self) -> bool:
        """Whether quantizing twice equals quantizing once, which snnTorch needs."""
        return self.kind != "tanh"

    def __str__(self) -> str:
        """Describe the kind and its options in words."""
        if self.kind == "float":
            return "float, 32 bits"
        if self.kind == "clip":
            return f"clip to [{self.lower}, {self.upper}], 32 bits"
        if self.kind == "custom":
            return self._call()
        words = [f"{self.kind}, {self.storage_bits} bit{'s' * (self.storage_bits > 1)}"]
        if self.levels is not None:
            words[0] += f" {self.level_table}"
        if self.scale is not None:
            value = f" {self.scale_value}" if self.scale == "fixed" else ""
            words.append(f"{self.scale} scale{value}")
        if self.evaluation is not None:
            words[-1] += f" ({self.evaluation} at evaluation)"
        if self.gradient is not None:
            words.append(f"{self.gradient} gradient")
        if self.surrogate is not None:
            words[-1] += f" ({self.surrogate}, smoothness {self.smoothness})"
        return ", ".join(words)
