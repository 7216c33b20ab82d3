"""What the fused neuron computes, in plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec import MembraneSpec, SpikeSpec, ThresholdSpec

__all__ = ["Parameters"]

MEMBRANES = ("float", "clip", "levels", "pruned", "threshold_centred")


@dataclass(frozen=True)
class Parameters:
    """The neuron and a host's conventions.

    Args:
        membrane: What is stored; of the kinds without a scale that is kept elsewhere.
        spike: How it fires.
        threshold: Whether and how the threshold learns.
        tau: Time constant in steps, above 1; None does not leak.
        decay_input: Whether the input is divided by `tau` too.
        v_reset: Membrane after a spike, or None for the soft reset; the membrane leaks to it.
        detach_reset: Whether the gradient is kept from flowing through the reset.
        fires_at_threshold: Whether a membrane exactly at the threshold fires.

    Raises:
        ArgumentError: If a value is not allowed.

    Example:
        >>> Parameters(tau=0.5)
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: tau=0.5 is not allowed: give a number above 1, or None
    """

    membrane: MembraneSpec = field(default_factory=MembraneSpec)
    spike: SpikeSpec = field(default_factory=SpikeSpec)
    threshold: ThresholdSpec = field(default_factory=ThresholdSpec)
    tau: float | None = 2.0
    decay_input: bool = False
    v_reset: float | None = 0.0
    detach_reset: bool = False
    fires_at_threshold: bool = True

    def __post_init__(self) -> None:
        if self.membrane.kind not in MEMBRANES:
            raise ArgumentError("membrane.kind", self.membrane.kind, f"one of {MEMBRANES}")
        if self.tau is not None and not self.tau > 1:
            raise ArgumentError("tau", self.tau, "a number above 1, or None")

    @property
    def resting(self) -> float:
        """Membrane before anything has charged it."""
        return self.v_reset or 0.0

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels that the membrane is rounded to, those included that pruning then silences."""
        pruned = self.membrane.kind == "pruned"
        return self.membrane.levels if pruned else self.membrane.level_table
