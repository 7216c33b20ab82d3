"""How a network is quantized: the one description that everything else reads.

A `QuantSpec` holds plain values only. A recipe's YAML builds it, the hosts' neurons take it,
memory is counted with it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.membrane import TERNARY, MembraneGradient, check_levels
from qsnn_plugins.functional.surrogate import SurrogateKind, check_surrogate
from qsnn_plugins.functional.threshold import ThresholdGradient, WindowKind
from qsnn_plugins.functional.weight import power_of_two_grid

__all__ = ["MembraneSpec", "QuantSpec", "SpikeSpec", "ThresholdSpec", "WeightSpec"]


def _check_choice(argument: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise ArgumentError(argument, value, f"one of {', '.join(get_args(choices))}")


def _check_positive(argument: str, value: float) -> None:
    if not value > 0:
        raise ArgumentError(argument, value, "a number above 0")


MembraneKind = Literal["float", "levels"]
WeightKind = Literal["float", "power_of_two"]
WeightEnds = Literal["same", "float"]


@dataclass(frozen=True)
class MembraneSpec:
    """What is stored of a membrane from step to step.

    Args:
        kind: "float" keeps 32 bits, "levels" the nearest of `levels` (IM-SNN Eq. 5).
        levels: Levels in ascending order; the default is ternary.
        gradient: Gradient of the quantizer, see `functional.nearest_level`.
        surrogate: Base surrogate of the stacked gradient.
        smoothness: Its T, above 0 (IM-SNN Eq. 9).

    Raises:
        ArgumentError: If a value is not allowed.

    Example:
        >>> MembraneSpec().storage_bits, MembraneSpec(kind="float").storage_bits
        (2, 32)
    """

    kind: MembraneKind = "levels"
    levels: tuple[float, ...] = TERNARY
    gradient: MembraneGradient = "stacked"
    surrogate: SurrogateKind = "sigmoid"
    smoothness: float = 2.0

    def __post_init__(self) -> None:
        _check_choice("membrane.kind", self.kind, MembraneKind)
        object.__setattr__(self, "levels", check_levels(self.levels))
        _check_choice("membrane.gradient", self.gradient, MembraneGradient)
        check_surrogate("membrane.surrogate", self.surrogate)
        _check_positive("membrane.smoothness", self.smoothness)

    @property
    def storage_bits(self) -> int:
        """Whole bits that one stored membrane takes on a chip."""
        return 32 if self.kind == "float" else math.ceil(math.log2(len(self.levels)))


@dataclass(frozen=True)
class SpikeSpec:
    """How a charged membrane fires.

    Args:
        surrogate: Surrogate of the spike; the papers' is the triangle.
        sharpness: Its sharpness, above 0; the triangle's half width is 1 / sharpness.

    Raises:
        ArgumentError: If a value is not allowed.

    Example:
        >>> SpikeSpec(surrogate="sigmoid", sharpness=4.0)
        SpikeSpec(surrogate='sigmoid', sharpness=4.0)
    """

    surrogate: SurrogateKind = "triangle"
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        check_surrogate("spike.surrogate", self.surrogate)
        _check_positive("spike.sharpness", self.sharpness)


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
        _check_choice("threshold.gradient", self.gradient, ThresholdGradient)
        _check_choice("threshold.window", self.window, WindowKind)

    @property
    def learned(self) -> bool:
        """Whether the threshold is a parameter."""
        return self.gradient != "fixed"


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
        _check_choice("weight.kind", self.kind, WeightKind)
        _check_choice("weight.ends", self.ends, WeightEnds)
        power_of_two_grid(self.bits)

    @property
    def storage_bits(self) -> int:
        """Bits that one stored weight takes."""
        return 32 if self.kind == "float" else self.bits


@dataclass(frozen=True)
class QuantSpec:
    """How a network is quantized.

    Args:
        membrane: What is stored of a membrane.
        spike: How it fires.
        threshold: Whether its threshold learns.
        weight: How weights are stored.

    Example:
        >>> spec = QuantSpec(weight=WeightSpec(kind="power_of_two", bits=4))
        >>> QuantSpec.from_dict(spec.to_dict()) == spec
        True
        >>> spec.quantizes
        True
    """

    membrane: MembraneSpec = field(default_factory=MembraneSpec)
    spike: SpikeSpec = field(default_factory=SpikeSpec)
    threshold: ThresholdSpec = field(default_factory=ThresholdSpec)
    weight: WeightSpec = field(default_factory=WeightSpec)

    @classmethod
    def full_precision(cls) -> QuantSpec:
        """Return the spec that quantizes nothing."""
        return cls(membrane=MembraneSpec(kind="float"))

    @property
    def quantizes(self) -> bool:
        """Whether anything is stored in fewer than 32 bits."""
        return self.membrane.storage_bits < 32 or self.weight.storage_bits < 32

    def to_dict(self) -> dict[str, Any]:
        """Return nested dictionaries of plain values, as a recipe's YAML has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> QuantSpec:
        """Build a spec from what `to_dict` returned.

        Raises:
            ArgumentError: If a key or a value is not allowed.
        """
        parts = {
            "membrane": MembraneSpec,
            "spike": SpikeSpec,
            "threshold": ThresholdSpec,
            "weight": WeightSpec,
        }
        for name in values:
            if name not in parts:
                raise ArgumentError("spec", name, f"keys among {', '.join(parts)}")
        return cls(**{name: parts[name](**part) for name, part in values.items()})
