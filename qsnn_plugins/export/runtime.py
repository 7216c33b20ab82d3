"""Integer networks on the CPU: `runtime.cpp`, with the results of the reference."""

from __future__ import annotations

import ctypes
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn, Self

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError, ExportError
from qsnn_plugins.export.lowered import Layer, Lowered
from qsnn_plugins.export.lowering import lower
from qsnn_plugins.export.network import NodeGraph, State, check_frames, check_state
from qsnn_plugins.export.plan import Plan, build_plan
from qsnn_plugins.ops.compiler import FLAGS, build
from qsnn_plugins.progress import tracked

__all__ = ["CompiledNetwork", "compile_network"]

_FOLDER = Path(__file__).parent
_ROUNDS = 3  # of each way to sum, of which the fastest counts
_MEASURED_STEPS = 8
_MOST_THREADS = 256


@cache
def library() -> ctypes.CDLL:
    """Return the runtime, built for this machine.

    Raises:
        BuildError: If it cannot be built.
        OSError: If it cannot be loaded.
    """
    headers = tuple(_FOLDER / name for name in ("runtime.h", "runtime_sums.h"))
    source, purpose = _FOLDER / "runtime.cpp", "building the runtime of integer networks"
    built = ctypes.CDLL(str(build(source, (*FLAGS, "-fwrapv"), headers, purpose)))
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    built.qsnn_run_integers.argtypes = (
        *(pointer, pointer, number, number, number),
        *(pointer, pointer, pointer, number, pointer),
    )
    built.qsnn_run_integers.restype = None
    built.qsnn_vector_bytes.restype = built.qsnn_has_dot.restype = number
    return built


@dataclass(frozen=True, eq=False)
class CompiledNetwork:
    """An integer network compiled for this machine; see `IntegerNetwork.compile`.

    Args:
        lowered: Its layers as the runtime sees them, without weights.
        plan: What the runtime reads.
        threads: Threads, or None for torch's number at each call.
    """

    lowered: Lowered
    plan: Plan
    threads: int | None

    def __call__(
        self, frames: Tensor, state: State | None = None, spikes: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run time steps from the initial state, or from `state`, which is updated.

        Args:
            frames: [T, N, ...], integers, or floats that `IntegerNetwork.quantize` takes.
            state: The state after an earlier call of this or of the reference, or an empty dict,
                which is filled.
            spikes: Whether spikes are also returned.

        Returns:
            Integer answers of each step, int64 [T, N, K]; and the spikes of each layer, uint8 [T,
            N, ...], or an empty dict.

        Raises:
            ArgumentError: If the frames or the state do not fit.
        """
        if not isinstance(spikes, bool):
            raise ArgumentError("spikes", spikes, "True or False")
        return self._run(frames, state, spikes, None)

    def _run(
        self, frames: Tensor, state: State | None, spikes: bool, seconds: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        lowered = self.lowered
        frames = lowered.frames(frames)
        samples, steps = frames.shape[:2]
        state = check_state(state, {n.name: (n.shape, n.states) for n in lowered.neurons}, samples)
        states = [_state(each, state.get(each.name), samples) for each in lowered.neurons]
        sent = [
            torch.empty(samples, steps, each.places, each.channels, dtype=torch.uint8)
            for each in (lowered.neurons if spikes else ())
        ]
        answers = torch.empty(samples, steps, math.prod(lowered.answers), dtype=torch.int64)
        if frames.numel():
            library().qsnn_run_integers(
                ctypes.byref(self.plan.header),
                frames.data_ptr(),
                frames[0, 0].numel() * frames.element_size(),
                samples,
                steps,
                _pointers(states),
                _pointers(sent) if spikes else None,
                answers.data_ptr(),
                self.threads or torch.get_num_threads(),
                None if seconds is None else seconds.data_ptr(),
            )
        for each, stored in zip(lowered.neurons, states, strict=True):
            state[each.name] = stored.transpose(1, 2).reshape(samples, *each.shape)
        return answers.transpose(0, 1).reshape(steps, samples, *lowered.answers), {
            each.name: values.permute(1, 0, 3, 2).reshape(steps, samples, *each.shape)
            for each, values in zip(lowered.neurons, sent, strict=bool(spikes))
        }

    def __copy__(self) -> Self:
        """Return itself: it is never changed, and states are handed in."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself, as a shallow copy does."""
        return self

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: it is built for one machine, and points into its memory."""
        raise ExportError(
            "a compiled network cannot be pickled: save the integer network, and compile it where "
            "it is loaded"
        )

    def __repr__(self) -> str:
        """Return one line per layer: how it is summed."""
        return f"{type(self).__name__}(\n{textwrap.indent(str(self), '  ')}\n)"

    def __str__(self) -> str:
        """Return a description of how each layer is summed, and the memory."""
        names = [layer.name for layer in self.lowered.layers]
        width = max(map(len, names))
        lines = [
            f"{layer.name.ljust(width)}  {layer.describe()}".rstrip()
            for layer in self.lowered.layers
        ]
        vectors, dot = library().qsnn_vector_bytes() * 8, library().qsnn_has_dot()
        threads = self.threads or torch.get_num_threads()
        lines.append(
            f"vectors of {vectors} bits{', products of bytes' if dot else ''}; {threads} thread"
            f"{'s' * (threads > 1)}; {self.plan.header.steps} steps at a time; "
            f"{self.plan.bytes:,} bytes of weights and tables, "
            f"{self.plan.header.arena * self.plan.header.steps:,} of values"
        )
        return "\n".join(lines)


def _state(neuron: Layer, given: Tensor | None, samples: int) -> Tensor:
    """Return the states [N, places, channels] of a layer, which are changed in place."""
    if given is None:
        shape = samples, neuron.places, neuron.channels
        return torch.full(shape, neuron.first_state, dtype=torch.uint8)
    planes = given.reshape(samples, neuron.channels, neuron.places).transpose(1, 2)
    return planes.to(torch.uint8).clone(memory_format=torch.contiguous_format)


def _pointers(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * max(1, len(tensors)))(*(each.data_ptr() for each in tensors))


def compile_network(
    network: NodeGraph, threads: int | None = None, frames: Tensor | None = None
) -> CompiledNetwork:
    """Build a network for this machine; see `IntegerNetwork.compile`."""
    # OpenMP would take as many threads as it is told, until there is no memory for their stacks
    if threads is not None and (type(threads) is not int or not 1 <= threads <= _MOST_THREADS):
        raise ArgumentError("threads", threads, f"an integer from 1 to {_MOST_THREADS}, or None")
    lowered = lower(network, bool(library().qsnn_has_dot()))
    if frames is None:
        frames = _noise(lowered)
    check_frames(frames, network.input)
    frames = frames[:_MEASURED_STEPS, : threads or torch.get_num_threads()]
    ways = max(1, *(len(layer.ways) for layer in lowered.layers))
    measured = torch.full((ways, len(lowered.layers)), math.inf, dtype=torch.float64)
    for way in tracked(range(ways if ways > 1 else 0), "finding the fastest way to sum"):
        layers = [layer.chosen(min(way, len(layer.ways) - 1)) for layer in lowered.layers]
        plan = build_plan(network, lowered.replaced(layers))
        candidate = CompiledNetwork(lowered.replaced(layers), plan, threads)
        for _ in range(_ROUNDS):
            seconds = torch.zeros(len(layers), dtype=torch.float64)
            candidate._run(frames, {}, False, seconds)
            measured[way] = torch.minimum(measured[way], seconds)
        del plan, candidate
    fastest = measured.argmin(0).tolist()
    best = lowered.replaced(
        [
            layer.chosen(min(way, len(layer.ways) - 1))
            for layer, way in zip(lowered.layers, fastest, strict=True)
        ]
    )
    return CompiledNetwork(best, build_plan(network, best), threads)


def _noise(lowered: Lowered) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = _MEASURED_STEPS, 1, *lowered.input.shape
    low, high = lowered.input.low, lowered.input.high
    if high - low == 1:  # events are rare
        return (torch.rand(shape, generator=generator) < 0.1).long() + low
    return torch.randint(low, high + 1, shape, generator=generator)
