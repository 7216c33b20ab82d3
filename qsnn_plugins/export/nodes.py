"""Layers of an integer network as plain data, used by the reference, C code, files and runtime.

A node computes integers from the values of other nodes. All shapes are those of one sample in one
step, [C, H, W] or [F], without batch and time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from torch import Tensor

__all__ = [
    "Convolution",
    "Gather",
    "Input",
    "Linear",
    "MaxPool",
    "Neuron",
    "Node",
    "Output",
    "Rescale",
    "Span",
    "Sum",
    "SumPool",
    "WideNeuron",
]


@dataclass(frozen=True)
class Span:
    """Integers from `low` to `high`."""

    low: int
    high: int

    def __or__(self, other: Span) -> Span:
        """Return what holds both."""
        return Span(min(self.low, other.low), max(self.high, other.high))

    def __add__(self, other: Span) -> Span:
        """Return what sums may be."""
        return Span(self.low + other.low, self.high + other.high)

    def __mul__(self, count: int) -> Span:
        """Return what a sum of so many may be, or a negative multiple."""
        ends = self.low * count, self.high * count
        return Span(min(ends), max(ends))

    def __str__(self) -> str:
        """Name both ends."""
        return f"{self.low}..{self.high}"


@dataclass(frozen=True, eq=False, repr=False)
class Node:
    """One layer.

    Args:
        name: Name of the module that it comes from, with a suffix where there are several.
        inputs: Places of the nodes whose values it takes.
        shape: Shape of what it gives.
        low: The least value that it can give.
        high: The greatest one.
    """

    name: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    low: int
    high: int

    tensors: ClassVar[tuple[str, ...]] = ()

    @property
    def span(self) -> Span:
        """What it can give."""
        return Span(self.low, self.high)

    def __repr__(self) -> str:
        """Return its fields, and of tensors type and shape alone."""
        words = (f"{each.name}={_short(getattr(self, each.name))}" for each in fields(self))
        return f"{type(self).__name__}({', '.join(words)})"


def _short(value: object) -> str:
    if not isinstance(value, Tensor):
        return repr(value)
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"


@dataclass(frozen=True, eq=False, repr=False)
class Input(Node):
    """What the network is shown: an integer stands for so many units.

    Args:
        unit: What 1 stands for, a float.
        rounds: Whether floats between two integers are rounded; otherwise they are refused.
    """

    unit: float
    rounds: bool = True


@dataclass(frozen=True, eq=False, repr=False)
class Convolution(Node):
    """Sums of codes times integers, in one to three dimensions.

    Args:
        takes: Shape of its input, [C_in, *sizes].
        codes: int8 or int16, [C_out, C_in / groups, *kernel].
        bits: What a code takes in memory.
        levels: The codes that may occur, ascending.
        stride: Per dimension, as the others.
        padding: Zeros on both sides.
        dilation: Distance of a kernel's elements.
        groups: Groups of channels.
    """

    takes: tuple[int, ...]
    codes: Tensor
    bits: int
    levels: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    tensors = ("codes",)


@dataclass(frozen=True, eq=False, repr=False)
class Linear(Node):
    """Sums of codes times integers.

    Args:
        codes: int8 or int16, [F_out, F_in].
        bits: What a code takes in memory.
        levels: The codes that may occur, ascending.
    """

    codes: Tensor
    bits: int
    levels: tuple[int, ...]

    tensors = ("codes",)


@dataclass(frozen=True, eq=False, repr=False)
class SumPool(Node):
    """Sums over windows: average pooling, whose division is in what comes after it.

    Args:
        takes: Shape of its input, [C, *sizes].
        kernel: Per dimension, as the others.
        stride: Distance of windows.
        padding: Zeros on both sides.
    """

    takes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False)
class MaxPool(Node):
    """The greatest of each window.

    Args:
        takes: Shape of its input, [C, *sizes].
        kernel: Per dimension, as the others.
        stride: Distance of windows.
        padding: Places on both sides that are never the greatest.
    """

    takes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Sum(Node):
    """The sum of its inputs, which count in the same unit."""


@dataclass(frozen=True, eq=False, repr=False)
class Gather(Node):
    """Its inputs' values one behind the other, in another order.

    Args:
        index: int32, shape of the node: which value stands where.
    """

    index: Tensor

    tensors = ("index",)


@dataclass(frozen=True, eq=False, repr=False)
class Rescale(Node):
    """Its inputs in one fixed-point unit of 2^-fraction, one multiplication of each.

        y = Σ_k (multiplier_k x_k) >> shift + bias

    The shift rounds to nearest.

    Args:
        multipliers: int32, [inputs, G]: one per group of places.
        bias: int32, [G].
        shift: Bits that the sum is shifted by.
        fraction: Bits behind the point.
    """

    multipliers: Tensor
    bias: Tensor
    shift: int
    fraction: int

    tensors = ("multipliers", "bias")


@dataclass(frozen=True, eq=False, repr=False)
class Neuron(Node):
    """A neuron as a table: nothing is multiplied.

    With the sum a and the stored state q, outcome k is the number of bounds that a reaches,
    `bounds[g, q, k] <= a`; it sends `spikes[k]` and stores `next_state[k]`.

    Args:
        bounds: int32, [G, states, outcomes - 1], ascending in the last.
        spikes: uint8, [outcomes].
        next_state: uint8, [outcomes].
        first_state: State before the first step.
        states: What the states stand for, float64, [G or 1, states].
        bits: What a state takes in memory.
    """

    bounds: Tensor
    spikes: Tensor
    next_state: Tensor
    first_state: int
    states: Tensor
    bits: int

    tensors: ClassVar[tuple[str, ...]] = ("bounds", "spikes", "next_state", "states")

    @property
    def count(self) -> int:
        """Number of states."""
        return self.states.shape[1]


@dataclass(frozen=True, eq=False, repr=False)
class WideNeuron(Neuron):
    """A neuron of many states, whose input is in fixed point, and whose bounds hold for all states.

    With the input y, the charge is h = y + charge[g, q], and outcome k is the number of bounds that
    it reaches, `bounds[g, k] <= h`, int32, [G, outcomes - 1].

    Args:
        charge: int32, [G, states]: what is left of a stored state.
    """

    charge: Tensor

    tensors = (*Neuron.tensors, "charge")


@dataclass(frozen=True, eq=False, repr=False)
class Output(Node):
    """Answers, in one unit for all: y = Σ_k multiplier_k x_k + bias, at each step.

    Args:
        multipliers: int64, [inputs, G].
        bias: int64, [G].
        unit: What 1 stands for, a float.
        is_mean: Whether the float network answers with the mean over the steps, not their sum.
    """

    multipliers: Tensor
    bias: Tensor
    unit: float
    is_mean: bool = False

    tensors = ("multipliers", "bias")
