"""The whole spec of a network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec.membrane import MembraneSpec
from qsnn_plugins.spec.pruning import PruningSpec
from qsnn_plugins.spec.spike import SpikeSpec
from qsnn_plugins.spec.threshold import ThresholdSpec
from qsnn_plugins.spec.weight import WeightSpec

__all__ = ["QuantSpec"]

_PARTS: dict[str, type] = {
    "membrane": MembraneSpec,
    "spike": SpikeSpec,
    "threshold": ThresholdSpec,
    "weight": WeightSpec,
    "pruning": PruningSpec,
}


@dataclass(frozen=True)
class QuantSpec:
    """How a network is quantized.

    Args:
        membrane: What is stored of a membrane.
        spike: How it fires.
        threshold: Whether its threshold learns.
        weight: How weights are stored.
        pruning: Which membranes are masked.

    Example:
        >>> spec = QuantSpec(weight=WeightSpec(kind="power_of_two", bits=4))
        >>> QuantSpec.from_dict(spec.to_dict()) == spec
        True
        >>> print(spec)
        membrane   levels, 2 bits (-1.0, 0.0, 1.0), stacked gradient (sigmoid, smoothness 2.0)
        spike      1 bit, triangle surrogate (sharpness 1.0)
        threshold  fixed
        weight     power_of_two, 4 bits
        pruning    none
    """

    membrane: MembraneSpec = field(default_factory=MembraneSpec)
    spike: SpikeSpec = field(default_factory=SpikeSpec)
    threshold: ThresholdSpec = field(default_factory=ThresholdSpec)
    weight: WeightSpec = field(default_factory=WeightSpec)
    pruning: PruningSpec = field(default_factory=PruningSpec)

    @classmethod
    def full_precision(cls) -> QuantSpec:
        """Return the spec that quantizes nothing."""
        return cls(membrane=MembraneSpec(kind="float"))

    @property
    def quantizes(self) -> bool:
        """Whether anything is stored in fewer than 32 bits."""
        return self.membrane.storage_bits < 32 or self.weight.storage_bits < 32

    @property
    def needs_channels(self) -> bool:
        """Whether a neuron has to know the channels of its input."""
        learns_per_channel = self.threshold.learned and self.threshold.per == "channel"
        return learns_per_channel or self.pruning.channel_threshold is not None

    def to_dict(self) -> dict[str, Any]:
        """Return nested dictionaries of plain values, as a recipe's YAML has them."""
        return {
            part: {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
            for part, values in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> QuantSpec:
        """Build a spec from what `to_dict` returned; what is left out has its default.

        Raises:
            ArgumentError: If a key or a value is not allowed.
        """
        parts = {}
        for name, part in values.items():
            if name not in _PARTS:
                raise ArgumentError("spec", name, f"keys among {', '.join(_PARTS)}")
            known = [f.name for f in fields(_PARTS[name])]
            for key in part:
                if key not in known:
                    raise ArgumentError(f"spec.{name}", key, f"keys among {', '.join(known)}")
            parts[name] = _PARTS[name](**part)
        return cls(**parts)

    def __str__(self) -> str:
        """Say in words what each part does, one a line."""
        weight = f"{self.weight.kind}, {self.weight.storage_bits} bits"
        words = {name: getattr(self, name) for name in _PARTS} | {"weight": weight}
        return "\n".join(f"{name:<10} {word}" for name, word in words.items())
