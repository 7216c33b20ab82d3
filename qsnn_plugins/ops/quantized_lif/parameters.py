"""What the fused neuron computes, in plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec import MembraneSpec, SpikeSpec, ThresholdSpec

__all__ = ["Given", "Parameters", "Plain", "ScaleOfSteps", "Written", "known_plain", "read_plain"]

MEMBRANES = ("float", "clip", "levels", "pruned", "threshold_centred", "uniform")
ScaleOfSteps = Literal["given", "step_max", "running"]


@dataclass(frozen=True)
class Parameters:
    """The neuron and a host's conventions.

    Args:
        membrane: What is stored, of any kind but "tanh".
        spike: How it fires.
        threshold: Whether and how the threshold learns.
        tau: Time constant in steps, above 1; None does not leak.
        decay_input: Whether the input is divided by `tau` too.
        decays: Whether the leak is written as snnTorch's is, h = decay q + x; `tau` is then not
            read.
        has_rate: Whether 1 / tau is a tensor, as SpikingJelly's ParametricLIFNode has it; `tau` is
            then not read.
        v_reset: Membrane after a spike, or None for the soft reset; with `tau` it leaks to it.
        resets: Whether a spike resets at all.
        reset_is_late: Whether the reset lands one step later, as snnTorch's does by default; the
            hard one is then to 0.
        detach_reset: Whether the gradient is kept from flowing through the reset.
        fires_at_threshold: Whether a membrane exactly at the threshold fires.
        scale: Of a "uniform" membrane: "given" is one scale for all steps; "step_max" takes max|r|
            of each, and "running" a running average of these, updated before the step stores.

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
    decays: bool = False
    has_rate: bool = False
    v_reset: float | None = 0.0
    resets: bool = True
    reset_is_late: bool = False
    detach_reset: bool = False
    fires_at_threshold: bool = True
    scale: ScaleOfSteps = "given"

    def __post_init__(self) -> None:
        if self.membrane.kind not in MEMBRANES:
            raise ArgumentError("membrane.kind", self.membrane.kind, f"one of {MEMBRANES}")
        if self.decays and self.has_rate:
            raise ArgumentError("has_rate", True, "False where decays=True")
        if self.tau is not None and not self.tau > 1:
            raise ArgumentError("tau", self.tau, "a number above 1, or None")
        if self.reset_is_late and self.v_reset:
            raise ArgumentError("v_reset", self.v_reset, "0 or None where the reset is late")
        if self.keeps_comparison and self.fires_at_threshold:
            allowed = "False where the reset is late and the membrane quantized"
            raise ArgumentError("fires_at_threshold", True, allowed)
        if self.keeps_comparison and self.spike.bits > 1 and self.v_reset is None:
            allowed = "0 where a late reset counts by a quantized membrane"
            raise ArgumentError("v_reset", None, allowed)
        if self.scale not in get_args(ScaleOfSteps):
            raise ArgumentError("scale", self.scale, f"one of {get_args(ScaleOfSteps)}")

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
    def keeps_comparison(self) -> bool:
        """Whether what is stored must tell a late reset whether the neuron fired."""
        return self.reset_is_late and self.resets and self.membrane.kind != "float"

    def plain(self, leak_learns: bool = False) -> Plain:
        """Return the values one by one.

        Args:
            leak_learns: Whether the tensor of the leak wants a gradient.
        """
        membrane, spike, kind = self.membrane, self.spike, self.membrane.kind
        gradient: str = membrane.gradient
        if kind in ("float", "clip"):
            gradient = "clipped_straight_through" if kind == "clip" else "straight_through"
        return Plain(
            tau=self.tau,
            decay_input=self.decay_input,
            decays=self.decays,
            has_rate=self.has_rate,
            leak_learns=leak_learns,
            v_reset=self.v_reset,
            resets=self.resets,
            reset_is_late=self.reset_is_late,
            detach_reset=self.detach_reset,
            fires_at_threshold=self.fires_at_threshold,
            # what the spec does not read is None; a kernel takes a value all the same
            spike_surrogate=spike.surrogate or "triangle",
            sharpness=1.0 if spike.sharpness is None else spike.sharpness,
            spike_bits=spike.bits,
            sends_threshold=spike.value == "threshold",
            membrane=kind,
            levels=self.levels,
            bits=2 if membrane.bits is None else membrane.bits,
            gradient=gradient,
            surrogate=membrane.surrogate or "sigmoid",
            smoothness=2.0 if membrane.smoothness is None else membrane.smoothness,
            bounds=(membrane.lower, membrane.upper) if kind == "clip" else (-1.0, 1.0),
            scale_of_steps=self.scale,
            momentum=0.1 if membrane.momentum is None else membrane.momentum,
            threshold_gradient=self.threshold.gradient,
            window=self.threshold.window or "sigmoid",
        )


class Given(NamedTuple):
    """The tensors that a neuron runs on; see `quantized_lif`. What it has no use for is empty."""

    x_seq: Tensor
    v: Tensor
    threshold: Tensor
    scale: Tensor
    has_seen: Tensor
    decay: Tensor

    def in_order(self) -> Given:
        """Return the tensors as kernels read them.

        They are in rows, on the device of the currents, and float32 but for these.
        """
        device = self.x_seq.device
        return Given(
            x_seq=self.x_seq.contiguous(),
            v=self.v.float().contiguous(),
            threshold=self.threshold.float().contiguous(),
            scale=self.scale.to(device, torch.float32),
            has_seen=self.has_seen.to(device),
            decay=self.decay.to(device, torch.float32),
        )


class Plain(NamedTuple):
    """`Parameters` as numbers, words and tuples of numbers."""

    tau: float | None
    decay_input: bool
    decays: bool
    has_rate: bool
    leak_learns: bool
    v_reset: float | None
    resets: bool
    reset_is_late: bool
    detach_reset: bool
    fires_at_threshold: bool
    spike_surrogate: str
    sharpness: float
    spike_bits: int
    sends_threshold: bool
    membrane: str
    levels: tuple[float, ...]
    bits: int
    gradient: str
    surrogate: str
    smoothness: float
    bounds: tuple[float, ...]
    scale_of_steps: str
    momentum: float
    threshold_gradient: str
    window: str

    @property
    def measures(self) -> bool:
        """Whether each step takes its maximum."""
        return self.membrane == "uniform" and self.scale_of_steps != "given"

    def written(self) -> Written:
        """Return it as operators take it, which `read_plain` reads."""
        words: list[str] = []
        integers: list[int] = []
        floats: list[float] = []
        value: Any
        for name, value in zip(self._fields, self, strict=True):
            if name in _INTEGERS:
                integers.append(value)
            elif name in _FLOATS:
                floats.append(value)
            elif name in _OPTIONAL:
                words.append(str(value is None))
                floats.append(0.0 if value is None else value)
            elif name in _TUPLES:
                words.append(str(len(value)))
                floats.extend(value)
            else:
                words.append(str(value))
        return Written(" ".join(words), integers, floats)


_INTEGERS, _FLOATS = ("spike_bits", "bits"), ("sharpness", "smoothness", "momentum")
_OPTIONAL, _TUPLES = ("tau", "v_reset"), ("levels", "bounds")


class Written(NamedTuple):
    """A neuron in three arguments, of which the first tells how to read the others.

    torch handles an operator's arguments one by one at each call: two dozen of them took a quarter
    of a millisecond. Numbers are apart, since torch.compile may make symbols of them.
    """

    words: str
    integers: Sequence[int]
    floats: Sequence[float]


def read_plain(words: str, integers: Sequence[int], floats: Sequence[float]) -> Plain:
    """Return what was written by `Plain.written`.

    Args:
        words: `Written.words`, as for the others.
        integers: Integers.
        floats: Numbers.

    Example:
        >>> plain = Parameters().plain()
        >>> read_plain(*plain.written()) == plain
        True
    """
    word, integer, number = iter(words.split(" ")), iter(integers), iter(floats)
    values: list[Any] = []
    for name in Plain._fields:
        if name in _INTEGERS:
            values.append(next(integer))
        elif name in _FLOATS:
            values.append(next(number))
        elif name in _OPTIONAL:
            is_none, value = next(word) == "True", next(number)
            values.append(None if is_none else value)
        elif name in _TUPLES:
            values.append(tuple(islice(number, int(next(word)))))
        else:
            told = next(word)
            values.append(told == "True" if told in ("True", "False") else told)
    return Plain(*values)


@lru_cache(maxsize=1024)  # a schedule may sharpen a surrogate in every epoch
def _read(words: str, integers: tuple[int, ...], floats: tuple[float, ...]) -> Plain:
    return read_plain(words, integers, floats)


def known_plain(words: str, integers: Sequence[int], floats: Sequence[float]) -> Plain:
    """Return what `read_plain` does of numbers that are known, from the second time on by heart.

    Args:
        words: See `read_plain`, as for the others.
        integers: Integers.
        floats: Numbers.

    Example:
        >>> written = Parameters().plain().written()
        >>> known_plain(*written) is known_plain(*written)
        True
    """
    return _read(words, tuple(integers), tuple(floats))
