"""What the runtime reads of an integer network: kinds of layers, values, ways to sum."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from qsnn_plugins.export.network import check_frames, integer_frames
from qsnn_plugins.export.nodes import Input, Span

__all__ = ["Kind", "Layer", "Lowered", "Method", "Type", "Value", "Way"]


class Type(enum.IntEnum):
    """How a value is stored, as in runtime.h."""

    U8 = 0
    I16 = 1
    I32 = 2
    I64 = 3

    @property
    def dtype(self) -> torch.dtype:
        """Torch's name of it."""
        return (torch.uint8, torch.int16, torch.int32, torch.int64)[self]


class Kind(enum.IntEnum):
    """What a layer does, as in runtime.h."""

    SYNAPSE = 0
    DEPTHWISE = 1
    SUM_POOL = 2
    MAX_POOL = 3
    SUM = 4
    GATHER = 5
    RESCALE = 6
    NEURON = 7
    OUTPUT = 8


class Method(enum.IntEnum):
    """How a synapse is summed, as in runtime.h."""

    ROWS = 0
    PRODUCTS = 1
    DENSE = 2
    PLANES = 3


@dataclass(frozen=True)
class Way:
    """One way to sum a synapse.

    Args:
        method: How.
        lanes: Channels of a block.
    """

    method: Method
    lanes: int

    def __str__(self) -> str:
        """Name it."""
        return {
            Method.ROWS: f"rows of the channels that spiked, {self.lanes} lanes",
            Method.PRODUCTS: f"rows of what is not zero, multiplied, {self.lanes} lanes",
            Method.DENSE: "dense, four products of bytes at a time",
            Method.PLANES: "bit planes, bits in common counted",
        }[self.method]


@dataclass(frozen=True)
class Value:
    """What lies between two layers, of one sample at one step.

    Args:
        type: How each is stored.
        channels: The inner dimension.
        places: The outer one.
        span: What it can be.
    """

    type: Type
    channels: int
    places: int
    span: Span


@dataclass(frozen=True)
class Layer:
    """One operation of the runtime.

    Args:
        kind: What it does.
        name: Of the node.
        inputs: Places of the values that it takes.
        out: Place of the one that it gives.
        node: Place of the node in the network, or -1 where a value is only put in another order.
        neuron: Place of the neuron that it holds, or -1.
        sums: How its sums are kept.
        ways: How it may be summed.
        way: Which one is taken.
        channels: Of what it gives.
        places: Of what it gives.
        shape: Of the neuron's node.
        states: Number of the neuron's states.
        first_state: The neuron's.
    """

    kind: Kind
    name: str
    inputs: tuple[int, ...]
    out: int
    node: int
    neuron: int = -1
    sums: Type = Type.I32
    ways: tuple[Way, ...] = ()
    way: int = 0
    channels: int = 0
    places: int = 0
    shape: tuple[int, ...] = ()
    states: int = 0
    first_state: int = 0

    def chosen(self, way: int) -> Layer:
        """Return it with this way to sum."""
        return replace(self, way=way) if self.ways else self

    def describe(self) -> str:
        """Say how it runs."""
        sums = f"{16 if self.sums is Type.I16 else 32}-bit sums"
        neuron = ", neurons at once" if self.neuron >= 0 else ""
        if self.kind is Kind.SYNAPSE:
            return f"{self.ways[self.way]}, {sums}{neuron}"
        return {
            Kind.DEPTHWISE: f"depthwise, {sums}",
            Kind.SUM_POOL: "sums of windows",
            Kind.MAX_POOL: "maxima of windows",
            Kind.SUM: "sum",
            Kind.GATHER: "another order",
            Kind.RESCALE: f"fixed point, a product of each input{neuron}",
            Kind.NEURON: f"neurons, {sums}",
            Kind.OUTPUT: "answers",
        }[self.kind]


@dataclass(frozen=True)
class Lowered:
    """A network as the runtime sees it, without its weights.

    Args:
        layers: In order.
        values: All values; the first is the input.
        input: What it is shown.
        answers: Shape of the output.
    """

    layers: tuple[Layer, ...]
    values: tuple[Value, ...]
    input: Input
    answers: tuple[int, ...]

    @property
    def neurons(self) -> list[Layer]:
        """Layers with neurons, in order."""
        return [layer for layer in self.layers if layer.neuron >= 0]

    def replaced(self, layers: list[Layer]) -> Lowered:
        """Return it with other layers."""
        return replace(self, layers=tuple(layers))

    def frames(self, frames: Tensor) -> Tensor:
        """Return frames [T, N, ...] as the runtime reads them, [N, T, places, channels]."""
        check_frames(frames, self.input)
        frames = integer_frames(frames, self.input)
        first = self.values[0]
        steps, samples = frames.shape[:2]
        frames = frames.reshape(steps, samples, first.channels, first.places)
        frames = frames.permute(1, 0, 3, 2).to(first.type.dtype)
        return frames.contiguous()
