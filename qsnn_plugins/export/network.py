"""The nodes of an integer network, and its reference implementation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.export.account import NodeAccount, account
from qsnn_plugins.export.nodes import (
    Convolution,
    Gather,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Node,
    Output,
    Rescale,
    Span,
    Sum,
    SumPool,
    WideNeuron,
)
from qsnn_plugins.export.reach import spans

__all__ = ["NodeGraph", "State", "check_frames", "check_state", "integer_frames"]

State = dict[str, Tensor]

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@dataclass(frozen=True, eq=False)
class NodeGraph:
    """Nodes of an integer network, and their reference implementation.

    Args:
        nodes: The nodes in the order of computation; the last one is the output.
    """

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        """Refuse what is not a network."""
        nodes: Any = self.nodes
        whole = isinstance(nodes, tuple) and all(isinstance(node, Node) for node in nodes)
        if not (whole and nodes and isinstance(nodes[-1], Output)):
            raise ArgumentError("nodes", nodes, "nodes as a tuple, an output the last")

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """Range of the values of each node, proven from codes and tables.

        Raises:
            ExportError: If a value does not fit in 32 bits.
        """
        return spans(self.nodes)

    @property
    def input(self) -> Input:
        """The input node."""
        return next(node for node in self.nodes if isinstance(node, Input))

    @property
    def output(self) -> Output:
        """The output node."""
        last = self.nodes[-1]
        assert isinstance(last, Output)
        return last

    @property
    def neurons(self) -> dict[str, Neuron]:
        """Its layers of neurons by name."""
        return {n.name: n for n in self.nodes if isinstance(n, Neuron)}

    @property
    def accounts(self) -> list[NodeAccount]:
        """Bytes and multiplications of each layer."""
        return [account(node) for node in self.nodes]

    @property
    def multiplications(self) -> int:
        """Multiplications per sample and step; 0 is multiplication-free."""
        return sum(each.multiplications for each in self.accounts)

    def __repr__(self) -> str:
        """Return one line per layer: its place, kind, name, inputs and shape."""
        lines = [
            f"  ({place}): {type(node).__name__}({node.name}, inputs={node.inputs}, "
            f"shape={node.shape})\n"
            for place, node in enumerate(self.nodes)
        ]
        return f"{type(self).__name__}(\n{''.join(lines)})"

    def __str__(self) -> str:
        """Return a table with one line per layer, and the total."""
        rows: list[tuple[str, ...]] = [
            ("layer", "kind", "gives", "weights", "bounds", "states", "multiplications")
        ]
        for node, each in zip(self.nodes, self.accounts, strict=True):
            shape = "x".join(map(str, node.shape))
            numbers = (each.weights, each.bounds, each.states, each.multiplications)
            rows.append((node.name, each.kind, shape, *(f"{n:,}" if n else "" for n in numbers)))
        columns = ("weights", "bounds", "states", "multiplications")
        total = [sum(getattr(each, name) for each in self.accounts) for name in columns]
        rows.append(("all", "", "", *(f"{n:,}" for n in total)))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(
                text.ljust(width) if i < 3 else text.rjust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        free = "multiplication-free" if not total[3] else f"{total[3]:,} multiplications per step"
        lines.append(f"integers only, {free}; bytes; input in units of {self.input.unit:.6g}")
        return "\n".join(lines)

    def quantize(self, frames: Tensor) -> Tensor:
        """Convert float frames of any shape to integers: the nearest multiples of the input unit.

        Raises:
            ArgumentError: If a value is outside the range of the network's input, or between the
                counts or pixels of the example.
        """
        return integer_frames(frames, self.input)

    def __call__(
        self, frames: Tensor, state: State | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run time steps from the initial state, or from `state`, which is updated.

        Args:
            frames: [T, N, ...], integers, or floats that `quantize` takes.
            state: The state after an earlier call, or an empty dict, which is filled.

        Returns:
            Integer answers of each step, int64 [T, N, K], in units of `output.unit`; and the spikes
            of each layer, uint8 [T, N, ...].

        Raises:
            ArgumentError: If the frames or the state do not fit.
        """
        check_frames(frames, self.input)
        known = {name: (node.shape, node.count) for name, node in self.neurons.items()}
        state = check_state(state, known, frames.shape[1])
        answers, spikes = [], []
        for frame in self.quantize(frames):
            sent = {}
            for node, value in self.step(frame, state):
                if isinstance(node, Neuron):
                    sent[node.name] = value.to(torch.uint8)
            answers.append(value)
            spikes.append(sent)
        if not answers:
            size = frames.shape[:2]
            none = {
                name: torch.empty(*size, *node.shape, dtype=torch.uint8)
                for name, node in self.neurons.items()
            }
            return torch.empty(*size, *self.output.shape, dtype=torch.int64), none
        each = {name: torch.stack([sent[name] for sent in spikes]) for name in self.neurons}
        return torch.stack(answers), each

    def step(
        self, frame: Tensor, state: State, sent: Mapping[str, Tensor] | None = None
    ) -> Iterator[tuple[Node, Tensor]]:
        """Run one step, and yield what each node gives.

        Args:
            frame: [N, ...], integers.
            state: What the step before left, which is changed.
            sent: Spikes of layers by name that are handed on in place of their own.
        """
        values: list[Tensor] = []
        for node in self.nodes:
            inputs = [values[i] for i in node.inputs]
            if isinstance(node, Input):
                value = frame
            elif isinstance(node, Neuron):
                value, state[node.name] = _fire(node, inputs[0], state.get(node.name))
            else:
                value = _RUN[type(node)](node, inputs)
            value = value.reshape(len(frame), *node.shape)
            values.append((sent or {}).get(node.name, value))
            yield node, value


def check_frames(frames: Any, node: Input) -> None:
    """Refuse what is not a tensor of the shape [T, N, ...] of an input."""
    _check_values(frames)
    if frames.dim() < 2 or tuple(frames.shape[2:]) != node.shape:
        shape = ("T", "N", *node.shape)
        raise ArgumentError("frames.shape", tuple(frames.shape), f"the shape {shape}")


def check_state(
    state: Any, neurons: Mapping[str, tuple[tuple[int, ...], int]], samples: int
) -> State:
    """Return a state to go on from; refuse what no earlier call of these neurons left.

    Args:
        state: What is given.
        neurons: The shape of each layer of neurons and the number of its states, by name.
        samples: N of the frames.
    """
    if state is None:
        return {}
    if not isinstance(state, dict):
        raise ArgumentError("state", state, "a dict that an earlier call filled, or an empty one")
    for name, stored in state.items():
        if name not in neurons:
            raise ArgumentError("state", name, f"states of {', '.join(neurons)}")
        argument, (shape, count) = f"state[{name!r}]", neurons[name]
        if not isinstance(stored, Tensor) or stored.is_floating_point() or stored.is_complex():
            given = stored.dtype if isinstance(stored, Tensor) else type(stored).__name__
            raise ArgumentError(argument, given, "a tensor of integers")
        whole = samples, *shape
        if tuple(stored.shape) not in (whole, (samples, math.prod(shape))):
            raise ArgumentError(f"{argument}.shape", tuple(stored.shape), str(whole))
        if stored.numel() and not 0 <= int(stored.min()) <= int(stored.max()) < count:
            worst = int(stored.max()), int(stored.min())
            raise ArgumentError(argument, worst, f"states from 0 to {count - 1}")
    return state


def _check_values(frames: Any) -> None:
    if not isinstance(frames, Tensor) or frames.layout is not torch.strided or frames.is_complex():
        raise ArgumentError("frames", type(frames).__name__, "a dense tensor of real values")
    if frames.device.type != "cpu":
        raise ArgumentError("frames.device", str(frames.device), "a tensor on the CPU")


def integer_frames(frames: Tensor, node: Input) -> Tensor:
    """Return frames, any shape, as the integers that an input takes.

    Raises:
        ArgumentError: If a value is beyond its range.
    """
    _check_values(frames)
    if frames.is_floating_point():
        values = frames.double() / node.unit
        whole = values.round()
        if not node.rounds:
            _check_whole(frames, values, whole, node)
    else:
        whole = frames.long()
    if frames.numel():
        low, high = float(whole.min()), float(whole.max())
        if not node.low <= low <= high <= node.high:  # NaN is not either
            worst = frames.flatten()[whole.argmax() if high > node.high else whole.argmin()]
            unit = "" if node.unit == 1 else f" times {node.unit:.6g}"
            allowed = f"values from {node.low} to {node.high}{unit}, or export with an example "
            raise ArgumentError("frames", worst.item(), allowed + "that holds such values")
    return whole.long()


def _check_whole(frames: Tensor, values: Tensor, whole: Tensor, node: Input) -> None:
    """Refuse floats that no rounding of their own type has moved away from an integer."""
    slack = max(1e-4, torch.finfo(frames.dtype).eps)
    off = (values - whole).abs() > slack * whole.abs().clamp(min=1)
    if off.any():
        unit = "whole numbers" if node.unit == 1 else f"multiples of {node.unit:.6g}"
        raise ArgumentError(
            "frames",
            frames[off][0].item(),
            f"{unit}, of which the example was made, or export with an example that holds such "
            "values, or with an `input_unit`, to which they are rounded",
        )


def _convolution(node: Convolution, inputs: Sequence[Tensor]) -> Tensor:
    # float64 holds these integers exactly
    x = inputs[0].reshape(-1, *node.takes).double()
    how = node.stride, node.padding, node.dilation, node.groups
    return CONVOLUTIONS[len(node.stride)](x, node.codes.double(), None, *how).long()


def _linear(node: Linear, inputs: Sequence[Tensor]) -> Tensor:
    return (inputs[0].flatten(1).double() @ node.codes.double().T).long()


def _sum_pool(node: SumPool, inputs: Sequence[Tensor]) -> Tensor:
    x = inputs[0].reshape(-1, *node.takes).double()
    channels = node.takes[0]
    ones = torch.ones(channels, 1, *node.kernel, dtype=torch.float64)
    how = node.stride, node.padding, 1, channels
    return CONVOLUTIONS[len(node.kernel)](x, ones, None, *how).long()


def _max_pool(node: MaxPool, inputs: Sequence[Tensor]) -> Tensor:
    x = inputs[0].reshape(-1, *node.takes).double()
    run = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[len(node.kernel)]
    return run(x, node.kernel, node.stride, node.padding).long()


def _sum(node: Sum, inputs: Sequence[Tensor]) -> Tensor:
    return sum(x.flatten(1) for x in inputs)  # type: ignore[return-value]


def _gather(node: Gather, inputs: Sequence[Tensor]) -> Tensor:
    return torch.cat([x.flatten(1) for x in inputs], 1)[:, node.index.flatten().long()]


def _per_place(row: Tensor, count: int) -> Tensor:
    """Repeat what is one per group for each of its places."""
    return row.repeat_interleave(count // row.shape[-1], -1)


def _rescale(node: Rescale | Output, inputs: Sequence[Tensor]) -> Tensor:
    count = math.prod(node.shape)
    total: Any = sum(
        x.flatten(1).long() * _per_place(row.long(), count)
        for x, row in zip(inputs, node.multipliers, strict=True)
    )
    if isinstance(node, Rescale):
        total = (total + (1 << node.shift >> 1)) >> node.shift
    return total + _per_place(node.bias.long(), count)


def _fire(node: Neuron, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    x = x.flatten(1)
    if state is None:
        state = torch.full(x.shape, node.first_state)
    state = state.flatten(1).long()
    groups = len(node.bounds)
    group = (torch.arange(x.shape[1]) * groups // x.shape[1]).expand(x.shape)
    row = group * node.count + state
    if isinstance(node, WideNeuron):
        x, row = x + node.charge.flatten()[row].long(), group
    outcome = _reached(node.bounds, row, x)
    return node.spikes[outcome].long(), node.next_state[outcome].long()


def _reached(bounds: Tensor, row: Tensor, x: Tensor) -> Tensor:
    """Return how many of the ascending bounds in its row each x reaches."""
    flat, left = bounds.flatten(), bounds.shape[-1]
    first, found = row * left, torch.zeros_like(x)
    while left:  # bisection, which takes no more memory than x
        half = (left + 1) // 2
        found += half * (flat[first + found + half - 1] <= x)
        left -= half
    return found


_RUN: dict[type, Callable[..., Tensor]] = {
    Convolution: _convolution,
    Linear: _linear,
    SumPool: _sum_pool,
    MaxPool: _max_pool,
    Sum: _sum,
    Gather: _gather,
    Rescale: _rescale,
    Output: _rescale,
}
