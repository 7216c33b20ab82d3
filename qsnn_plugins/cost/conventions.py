"""Conventions for counting memory, each with a name and a source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from qsnn_plugins.errors import ArgumentError

__all__ = ["MEMORY_CONVENTIONS", "MemoryConvention", "Role", "memory_convention"]

Role = Literal["weights", "biases", "scales", "thresholds", "normalization", "other"]
Membranes = Literal["all", "largest", "none"]
WeightLayerKind = Literal["conv", "linear"]

ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class MemoryConvention:
    """A convention for counting memory: what is counted, and with how many bits.

    Args:
        source: Where this convention is used.
        membranes: Membranes of "all" layers, of the "largest" layer, or "none".
        ternary_bits: Bits of a ternary membrane: 2 on a chip, log2 3 or 1.5 in papers.
        spikes: Whether one spike per neuron is counted.
        output_bits: Bits of an output value of convolutions and linear layers, one per neuron,
            stored in addition to the membrane; None for none.
        roles: Roles of parameters that are counted.
        weights_of: Layers whose weights are counted.

    Raises:
        ArgumentError: If a value is not allowed.

    Example:
        >>> from dataclasses import replace
        >>> replace(memory_convention("imsnn"), weights_of=("conv",)).ternary_bits
        1.5
    """

    source: str
    membranes: Membranes = "all"
    ternary_bits: float = 2
    spikes: bool = False
    output_bits: float | None = None
    roles: tuple[Role, ...] = ("weights",)
    weights_of: tuple[WeightLayerKind, ...] = ("conv", "linear")

    def __post_init__(self) -> None:
        if self.membranes not in get_args(Membranes):
            allowed = f"one of {', '.join(get_args(Membranes))}"
            raise ArgumentError("membranes", self.membranes, allowed)
        if not self.ternary_bits > 0:
            raise ArgumentError("ternary_bits", self.ternary_bits, "a number above 0")
        if self.output_bits is not None and not self.output_bits > 0:
            raise ArgumentError("output_bits", self.output_bits, "a number above 0, or None")
        _check_all("roles", self.roles, ROLES)
        _check_all("weights_of", self.weights_of, get_args(WeightLayerKind))


def _check_all(argument: str, values: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    if isinstance(values, str):
        raise ArgumentError(argument, values, f"a tuple of {', '.join(allowed)}")
    for value in values:
        if value not in allowed:
            raise ArgumentError(argument, value, f"among {', '.join(allowed)}")


MEMORY_CONVENTIONS: Mapping[str, MemoryConvention] = MappingProxyType(
    {
        "chip": MemoryConvention(
            "what a chip keeps: every parameter, all membranes in whole bits, and the spikes",
            spikes=True,
            roles=ROLES,
        ),
        "imsnn": MemoryConvention(
            "IM-SNN Eq. 15-17 as printed: weights, membranes (ternary ones 1.5 bits), spikes",
            ternary_bits=1.5,
            spikes=True,
        ),
        "imsnn_float_table": MemoryConvention(
            "IM-SNN Tables V-VII, float rows: weights, membranes, and outputs of 32 bits",
            output_bits=32,
        ),
        "spquant": MemoryConvention(
            "SpQuant-SNN Eq. 28-29: weights, membranes (ternary ones 1.58 bits), spikes",
            ternary_bits=math.log2(3),
            spikes=True,
        ),
        "mint": MemoryConvention(
            "MINT, in IM-SNN Table V: weights, membranes, and outputs of 8 bits",
            output_bits=8,
        ),
        "qsnn": MemoryConvention(
            "Q-SNN Table 2: weights, biases, normalization, and the membranes of the largest layer",
            membranes="largest",
            roles=("weights", "biases", "normalization"),
        ),
        "sigmoid_quantizer": MemoryConvention(
            "Shymyrbay et al., Table III: weights and normalization, no membranes",
            membranes="none",
            roles=("weights", "normalization"),
        ),
    }
)


def memory_convention(convention: str | MemoryConvention) -> MemoryConvention:
    """Look up a convention for counting memory.

    Args:
        convention: A key of `MEMORY_CONVENTIONS`; a convention is returned as it is.

    Raises:
        ArgumentError: If there is no such convention.

    Example:
        >>> memory_convention("qsnn").membranes
        'largest'
        >>> memory_convention("guess")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: convention='guess' is not allowed: give one of chip, \
imsnn, imsnn_float_table, spquant, mint, qsnn, sigmoid_quantizer
    """
    if isinstance(convention, MemoryConvention):
        return convention
    if convention not in MEMORY_CONVENTIONS:
        raise ArgumentError("convention", convention, f"one of {', '.join(MEMORY_CONVENTIONS)}")
    return MEMORY_CONVENTIONS[convention]
