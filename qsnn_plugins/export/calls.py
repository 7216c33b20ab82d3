"""The ways to call a network: with all time steps, one step per call, or a still image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.cost.neurons import all_neurons, is_multi_step, reset_states
from qsnn_plugins.errors import ArgumentError, ExportError, QSNNError
from qsnn_plugins.nn import ForwardMonitor, output_spikes

__all__ = ["Calls", "first_of", "ways_to_call"]


@dataclass(frozen=True)
class Calls:
    """The input of one call of a network.

    Args:
        takes_steps: Whether its input has time steps, [T, N, ...], or is one frame, [N, ...].
        steps: Number of steps of a call; None for the number of steps of its input.
    """

    takes_steps: bool
    steps: int | None

    def example(self, frames: Tensor) -> Tensor:
        """Return what the least call with one sample of frames [T, N, ...] takes."""
        if not self.takes_steps:
            least = frames[0, :1]
        else:
            least = frames[:1, :1].expand(self.steps or 1, *[-1] * (frames.dim() - 1))
        # torch chooses its operators by strides, which `contiguous` leaves to dimensions of one
        return least.clone(memory_format=torch.contiguous_format)

    def run(self, network: nn.Module, frames: Tensor) -> Tensor:
        """Return what a network answers to frames [T, N, ...]: [T, N, K] where each step answers.

        Raises:
            ArgumentError: If the network runs another number of steps than there are.
        """
        if self.steps not in (None, 1, len(frames)):
            raise ArgumentError("steps", len(frames), f"{self.steps}, which the network runs")
        if self.takes_steps:
            return first_of(network(frames))
        if self.steps == 1:
            return torch.stack([first_of(network(frame)) for frame in frames])
        return first_of(network(frames[0]))


def first_of(answer: Any) -> Tensor:
    """Return what counts of what a network returns: of several things the first.

    Raises:
        ExportError: If that is not a tensor.
    """
    while isinstance(answer, tuple | list) and answer:
        answer = answer[0]
    if not isinstance(answer, Tensor):
        raise ExportError(f"the network answers with {type(answer).__name__}: return a tensor")
    return answer


def ways_to_call(network: nn.Module, x: Tensor, argument: str) -> Iterator[tuple[Calls, Tensor]]:
    """Find how a network may be called with an input, the likeliest way first.

    The network is run on one sample, and the steps of its neurons are counted: they follow the
    length of an input of several steps, and not the number of samples.

    Args:
        network: At evaluation.
        x: Frames [T, N, ...], or [N, ...] where a call takes one frame.
        argument: What x is, for errors.

    Returns:
        Each way, and x as frames [T, N, ...].

    Raises:
        ArgumentError: If there is none.
    """
    causes: list[Exception] = []
    if x.dim() > 1:
        counts = _counts(network, x[:1, :1], causes)
        if counts is not None and counts[1] == 2 * counts[0]:
            if counts[0] != 1:
                raise ExportError(f"the network's neurons run {counts[0]} steps for each of x")
            yield Calls(True, None), x
            return
        # a network may loop over a number of steps that it knows
        steps = None if counts else _steps(network, x[:, :1], causes)
        if steps and 1 < steps <= len(x) and _steps(network, x[:steps, :1], causes) == steps:
            yield Calls(True, steps), x
            return
    found = False
    for frames in (x.unsqueeze(0), x):
        counts = _counts(network, frames[0, :1], causes) if frames.dim() > 1 else None
        if counts is not None and counts[0] == counts[1]:
            found = True
            yield Calls(False, counts[0]), frames
    if not found:
        cause = next((c for c in causes if isinstance(c, QSNNError)), causes[0] if causes else None)
        if isinstance(cause, QSNNError):
            raise cause
        reason = f" ({' '.join(str(cause).split())})" if cause else ""
        allowed = (
            f"a shape that {type(network).__name__} takes{reason}: [T, N, ...], or [N, ...] where "
            "it takes one step or adds the steps itself"
        )
        raise ArgumentError(f"{argument}.shape", tuple(x.shape), allowed) from cause


def _counts(network: nn.Module, x: Tensor, causes: list[Exception]) -> tuple[int, int] | None:
    """The steps that run on x, and on x twice along its first dimension."""
    one = _steps(network, x, causes)
    two = None if one is None else _steps(network, torch.cat([x, x]), causes)
    return None if one is None or two is None else (one, two)


def _forget(network: nn.Module) -> None:
    """Reset all states, and the shapes of them, which snnTorch keeps."""
    reset_states(network)
    for neuron in all_neurons(network).values():
        if isinstance(getattr(neuron, "mem", None), Tensor):
            neuron.mem = torch.zeros(0)


def _steps_of_call(neuron: nn.Module, inputs: Any, output: Any) -> int:
    return len(output_spikes(output)) if is_multi_step(neuron) else 1


def _steps(network: nn.Module, x: Tensor, causes: list[Exception]) -> int | None:
    """How many steps the neurons run on an input, or None where the network does not take it."""
    _forget(network)
    with torch.no_grad(), ForwardMonitor(all_neurons(network), _steps_of_call) as monitor:
        try:
            network(x)
        # a network of any kind runs here: what it raises at a shape that does not fit is its own
        except Exception as error:
            causes.append(error)
            return None
    _forget(network)
    counts = monitor.sums
    if len(set(counts.values())) > 1:
        (one, few), *_, (other, many) = sorted(counts.items(), key=lambda item: item[1])
        raise ExportError(
            f"{one} runs {few} steps where {other} runs {many}: all neurons run in each step, and "
            "each stands in one place of the network"
        )
    return next(iter(counts.values()), 1)
