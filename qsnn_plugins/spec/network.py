"""The whole spec of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec.membrane import MembraneSpec
from qsnn_plugins.spec.options import check_keys
from qsnn_plugins.spec.pruning import PruningSpec
from qsnn_plugins.spec.spike import SpikeSpec
from qsnn_plugins.spec.threshold import ThresholdSpec
from qsnn_plugins.spec.weight import WeightSpec

__all__ = ["QuantSpec"]

_PARTS: dict[str, Any] = {
    "membrane": MembraneSpec,
    "spike": SpikeSpec,
    "threshold": ThresholdSpec,
    "weight": WeightSpec,
    "pruning": PruningSpec,
}


# not the specs: jsonargparse would take the values that they fill in for given ones
_NO_OPTIONS: Any = dict


@dataclass(frozen=True)
class QuantSpec:
    """How a network is quantized.

    Each part may also be given as a mapping of its options.

    Args:
        membrane: How membranes are stored.
        spike: How neurons fire.
        threshold: Whether thresholds are learned.
        weight: How weights are stored.
        pruning: Which membranes and channels are masked.

    Raises:
        ArgumentError: If a part is neither its spec nor a mapping, or a value is not allowed.

    Example:
        >>> spec = QuantSpec(weight=WeightSpec(kind="power_of_two", bits=2))
        >>> spec.to_dict()
        {'weight': {'kind': 'power_of_two', 'bits': 2}}
        >>> QuantSpec.from_dict(spec.to_dict()) == spec
        True
        >>> print(spec)
        membrane   levels, 2 bits (-1.0, 0.0, 1.0), stacked gradient (sigmoid, smoothness 2.0)
        spike      1 bit, triangle surrogate (sharpness 1.0)
        threshold  fixed
        weight     power_of_two, 2 bits
        pruning    none
    """

    membrane: MembraneSpec = field(default_factory=_NO_OPTIONS)
    spike: SpikeSpec = field(default_factory=_NO_OPTIONS)
    threshold: ThresholdSpec = field(default_factory=_NO_OPTIONS)
    weight: WeightSpec = field(default_factory=_NO_OPTIONS)
    pruning: PruningSpec = field(default_factory=_NO_OPTIONS)

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            part = getattr(self, name)
            if isinstance(part, Mapping):
                check_keys(f"spec.{name}", part, [option.name for option in fields(kind)])
                object.__setattr__(self, name, kind(**part))
            elif not isinstance(part, kind):
                raise ArgumentError(f"spec.{name}", part, f"a {kind.__name__} or a mapping")

    @classmethod
    def full_precision(cls) -> QuantSpec:
        """Return the spec that quantizes nothing."""
        return cls(membrane=MembraneSpec(kind="float"))

    @property
    def is_plain(self) -> bool:
        """Whether neurons are those of the host, without changes; weights do not matter.

        Example:
            >>> QuantSpec.full_precision().is_plain, QuantSpec().is_plain
            (True, False)
        """
        return (
            self.membrane.kind == "float"
            and (self.spike.bits, self.spike.value, self.spike.comparison) == (1, "count", "host")
            and not self.threshold.learned
            and not self.pruning.spatial_ratio
        )

    @property
    def needs_channels(self) -> bool:
        """Whether a neuron needs the number of channels of its input."""
        return self.threshold.per == "channel"

    def of_first_neuron(self) -> QuantSpec:
        """Return the spec of the first layer of neurons, whose threshold may be fixed.

        Example:
            >>> spec = QuantSpec(threshold=ThresholdSpec("ordinary", first_layer="fixed"))
            >>> spec.of_first_neuron() == QuantSpec()
            True
        """
        if self.threshold.first_layer != "fixed":
            return self
        return replace(self, threshold=ThresholdSpec())

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from the defaults, as nested dictionaries of plain values."""
        parts = {name: getattr(self, name).to_dict() for name in _PARTS}
        return {name: part for name, part in parts.items() if part}

    def neuron_options(self) -> dict[str, Any]:
        """Return the options that change a neuron's forward, by names such as `membrane.bits`.

        Surrogates and gradients are not included: a trained network does not need them.

        Example:
            >>> list(QuantSpec.full_precision().neuron_options())[:3]
            ['membrane.kind', 'spike.bits', 'spike.value']
        """
        return {
            f"{name}.{option}": value
            for name in _PARTS
            if name != "weight"
            for option, value in getattr(self, name).forward_options().items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> QuantSpec:
        """Build a spec from the result of `to_dict`; missing options get their defaults.

        Raises:
            ArgumentError: If a key or a value is not allowed.
        """
        if not isinstance(values, Mapping):
            raise ArgumentError("spec", values, "a mapping of parts, empty for the defaults")
        check_keys("spec", values, _PARTS)
        return cls(**values)

    def __str__(self) -> str:
        """Describe each part in words, one per line."""
        return "\n".join(f"{name:<10} {getattr(self, name)}" for name in _PARTS)
