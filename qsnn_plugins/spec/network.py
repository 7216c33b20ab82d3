"""The whole spec of a network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec.membrane import MembraneSpec
from qsnn_plugins.spec.spike import SpikeSpec
from qsnn_plugins.spec.threshold import ThresholdSpec
from qsnn_plugins.spec.weight import WeightSpec

__all__ = ["QuantSpec"]


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
