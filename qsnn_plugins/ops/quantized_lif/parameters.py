"""The parameters of the fused neuron."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, get_args

import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.membrane.uniform import step_codes
from qsnn_plugins.spec import MembraneSpec, PruningSpec, SpikeSpec, ThresholdSpec

__all__ = ["NUMBERS", "Parameters", "ScaleOfSteps"]

MEMBRANES = ("float", "clip", "levels", "pruned", "threshold_centred", "uniform")
ScaleOfSteps = Literal["given", "step_max", "running"]

# `Parameters.numbers` in its order; levels come behind.
NUMBERS = (
    *("tau", "v_reset", "sharpness", "smoothness", "lower", "upper", "momentum"),
    "spatial_ratio",
)


@dataclass(frozen=True)
class Parameters:
    """The neuron and a host's conventions.

    Args:
        membrane: How membranes are stored, of a kind that the kernels support.
        spike: How it fires.
        threshold: Whether and how the threshold is learned.
        pruning: Which neurons are masked before they fire; channel gates are not part of the
            neuron.
        tau: Time constant in steps, above 1; None for no leak.
        decay_input: Whether the input is also divided by `tau`.
        decays: Whether the leak is that of snnTorch, h = decay q + x; `tau` is then not used.
        has_rate: Whether 1 / tau is a tensor, as in SpikingJelly's ParametricLIFNode; `tau` is then
            not used.
        v_reset: Membrane after a spike, or None for the soft reset; with `tau` it leaks to it.
        resets: Whether a spike resets at all.
        reset_is_late: Whether the reset happens one step later, as by default in snnTorch; a hard
            reset is then to 0.
        detach_reset: Whether no gradient flows through the reset.
        fires_at_threshold: Whether a membrane exactly at the threshold fires, if the comparison of
            the spike is "host".
        scale: Scale of a "uniform" membrane: "given" is one scale for all steps; "step_max" is
            max|r| of each step, and "running" the running average of these, updated before the
            membrane is stored.
        returns_states: Whether the stored membranes of all steps are returned.

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
    pruning: PruningSpec | None = None
    tau: float | None = 2.0
    decay_input: bool = False
    decays: bool = False
    has_rate: bool = False
    v_reset: float | None = 0.0
    resets: bool = True
    reset_is_late: bool = False
    detach_reset: bool = False
    fires_at_threshold: bool = True
    scale: ScaleOfSteps = "given"
    returns_states: bool = False

    def __post_init__(self) -> None:
        if self.membrane.kind not in MEMBRANES:
            raise ArgumentError("membrane.kind", self.membrane.kind, f"one of {MEMBRANES}")
        if self.decays and self.has_rate:
            raise ArgumentError("has_rate", True, "False where decays=True")
        if self.tau is not None and not self.tau > 1:
            raise ArgumentError("tau", self.tau, "a number above 1, or None")
        if self.v_reset is not None and not -math.inf < self.v_reset < math.inf:
            raise ArgumentError("v_reset", self.v_reset, "a finite number, or None")
        if self.reset_is_late and self.v_reset:
            raise ArgumentError("v_reset", self.v_reset, "0 or None where the reset is late")
        if self.keeps_comparison and self.spike.fires_at_threshold(self.fires_at_threshold):
            allowed = "False where the reset is late and the membrane quantized"
            raise ArgumentError("fires_at_threshold", True, allowed)
        if self.keeps_comparison and self.spike.bits > 1 and self.v_reset is None:
            allowed = "0 where a late reset counts by a quantized membrane"
            raise ArgumentError("v_reset", None, allowed)
        if self.scale not in get_args(ScaleOfSteps):
            raise ArgumentError("scale", self.scale, f"one of {get_args(ScaleOfSteps)}")
        if self.prunes and self.measures:
            raise ArgumentError("scale", self.scale, "'given' where membranes are masked")

    @property
    def resting(self) -> float:
        """Membrane before anything has charged it."""
        return self.v_reset or 0.0

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels that the membrane is rounded to, those included that pruning then silences."""
        pruned = self.membrane.kind == "pruned"
        return self.membrane.levels if pruned else self.membrane.level_table

    @property
    def has_scale(self) -> bool:
        """Whether the membrane's levels have a scale."""
        return self.membrane.kind == "uniform"

    @property
    def measures(self) -> bool:
        """Whether each step takes its maximum."""
        return self.has_scale and self.scale != "given"

    @property
    def prunes(self) -> bool:
        """Whether neurons are masked before they fire."""
        return self.pruning is not None and self.pruning.spatial_ratio > 0

    @property
    def keeps_comparison(self) -> bool:
        """Whether what is stored must tell a late reset whether the neuron fired."""
        return self.reset_is_late and self.resets and self.membrane.kind != "float"

    def variant(
        self, scale_learns: bool = False, leak_learns: bool = False, packs: bool = False
    ) -> str:
        """Return the kernel's name: all choices of variant.h that do not follow from numbers.

        Only the tensors' dtype and the threshold's shape are missing, which a kernel is given.

        Args:
            scale_learns: Whether the membrane's scale wants a gradient.
            leak_learns: Whether the tensor of the leak does.
            packs: Whether a GPU saves membranes in 2 bits.

        Example:
            >>> Parameters().variant().split()[:3]
            ['LEAK=TIME_CONSTANT', 'RESET=HARD', 'STORE=LEVELS']
        """
        # torch.compile traces what a cache would hide
        name = _variant if torch.compiler.is_compiling() else _cached_variant
        return name(self, scale_learns, leak_learns, packs)

    def numbers(self) -> list[float]:
        """Return the numbers of `NUMBERS` and the levels, as they are: some may be symbols.

        Example:
            >>> Parameters(tau=4.0).numbers()[:2], Parameters().numbers()[-3:]
            ([4.0, 0.0], [-1.0, 0.0, 1.0])
        """
        membrane, pruning = self.membrane, self.pruning
        values = (
            *(self.tau, self.v_reset, self.spike.sharpness),
            *(membrane.smoothness, membrane.lower, membrane.upper, membrane.momentum),
            pruning.spatial_ratio if pruning else None,
        )
        # what this neuron does not read may be None
        return [*(0.0 if value is None else value for value in values), *self.levels]

    @property
    def gradient(self) -> str:
        """Gradient of the membrane's quantizer."""
        fixed = {"float": "straight_through", "clip": "clipped_straight_through"}
        return fixed.get(self.membrane.kind) or self.membrane.gradient

    @property
    def leak(self) -> str:
        """How the leak is written: a `Leak` of variant.h."""
        if self.decays:
            return "DECAY"
        if self.has_rate:
            return "RATE_OF_INPUT" if self.decay_input else "RATE"
        if self.tau is None:
            return "NO_LEAK"
        return "TIME_CONSTANT_OF_INPUT" if self.decay_input else "TIME_CONSTANT"


def _variant(neuron: Parameters, scale_learns: bool, leak_learns: bool, packs: bool) -> str:
    kind, gradient, learning = neuron.membrane.kind, neuron.gradient, neuron.threshold.gradient
    one_bit, levels = neuron.spike.bits == 1, len(neuron.levels)
    least, greatest = step_codes(neuron.membrane.bits) if neuron.has_scale else (0, 1)
    pruning = neuron.pruning
    choices: dict[str, str | int | bool | None] = {
        "LEAK": neuron.leak,
        "RESET": "NONE" if not neuron.resets else "SOFT" if neuron.v_reset is None else "HARD",
        "STORE": kind if kind in ("float", "clip", "uniform") else "LEVELS",
        "PRUNED": kind == "pruned",
        "SLOPE": gradient,
        "SPIKE_SHAPE": neuron.spike.surrogate if one_bit else "TRIANGLE",
        "SLOPE_SHAPE": neuron.membrane.surrogate if gradient == "stacked" else "TRIANGLE",
        "LEARNING": learning,
        "WINDOW": neuron.threshold.window if learning == "separate" else "SIGMOID",
        "SCALE": neuron.scale if neuron.has_scale else "GIVEN",
        "LEVEL_COUNT": levels,
        "LEAST_CODE": least,
        "GREATEST_CODE": greatest,
        "GREATEST_SPIKE": 2**neuron.spike.bits - 1,
        "RESET_IS_LATE": neuron.reset_is_late,
        "DETACHED": neuron.detach_reset,
        "FIRES_AT_ZERO": neuron.spike.fires_at_threshold(neuron.fires_at_threshold),
        "SENDS_THRESHOLD": neuron.spike.value == "threshold",
        "SPATIAL": neuron.prunes,
        "MASKS_INPUT": pruning is not None and pruning.masked == "accumulation",
        "RETURNS_STATES": neuron.returns_states,
        "SCALE_LEARNS": scale_learns,
        "LEAK_LEARNS": leak_learns,
        "PACKS": packs,
    }
    return " ".join(
        f"{name}={value.upper() if isinstance(value, str) else int(value or 0)}"
        for name, value in choices.items()
    )


_cached_variant = lru_cache(maxsize=1024)(_variant)
