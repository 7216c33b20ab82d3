"""The membranes and spikes of every layer of neurons while a network runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.cost.neurons import all_neurons, evaluate_batches, is_multi_step
from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.nn import ForwardMonitor, output_spikes

__all__ = ["follow_layers", "measure_layers"]

Run = Callable[[Tensor], Any]
# (after the reset, stored, spikes), each [T, N, ...], to means over the N samples
Measure = Callable[[Tensor, Tensor, Tensor], Tensor]
# the name of a layer, and the same three
Note = Callable[[str, Tensor, Tensor, Tensor], None]


def follow_layers(
    network: nn.Module, batches: Iterable[Tensor], note: Note, run: Run | None = None
) -> None:
    """Hand the membranes and spikes of each layer of neurons to a function, batch by batch.

    Args:
        network: Any network of either host.
        batches: What `run` takes.
        note: Gets the name of a layer, and what `measure_layers` says.
        run: Runs one batch through the network; the default hands [T, N, ...] to it.

    Raises:
        ArgumentError: If there is no batch, or the network has no neurons.
        QSNNError: If a neuron does not show its membrane.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> network, x = StringNet("4C3-GAP-FC2"), torch.zeros(3, 2, 2, 6, 6)
        >>> follow_layers(network, [x], lambda name, r, q, s: print(name, tuple(q.shape)))
        blocks.conv1.neuron (3, 2, 4, 6, 6)
    """
    layers = [_Layer(name, neuron, note) for name, neuron in all_neurons(network).items()]
    if not layers:
        raise ArgumentError("network", type(network).__name__, "a network that has neurons")
    with ExitStack() as stack:
        for layer in layers:
            layer.watch(stack)
        for _ in evaluate_batches(network, batches, run):
            for layer in layers:
                layer.finish_batch()


def measure_layers(
    network: nn.Module, batches: Iterable[Tensor], measure: Measure, run: Run | None = None
) -> dict[str, Tensor]:
    """Apply a function to the membranes and spikes of each layer of neurons.

    `measure(r, q, s)` gets what a layer did in all steps, each [T, N, ...]: the membranes after
    the reset and before they are quantized, the stored ones, and the spikes. A neuron of a host,
    or one that quantizes nothing, stores what it has: there r is q. Where snnTorch resets one step
    later, r is the membrane before that reset.

    The network runs in evaluation mode; its states are reset before each batch and after the last,
    and nothing of the hooks stays.

    Args:
        network: Any network of either host.
        batches: What `run` takes.
        measure: Returns a tensor of means over samples.
        run: Runs one batch through the network; the default hands [T, N, ...] to it.

    Returns:
        By the name of the layer, the mean over all samples.

    Raises:
        ArgumentError: If there is no batch, or the network has no neurons.
        QSNNError: If a neuron does not show its membrane.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> network = StringNet("4C3-GAP-FC2")
        >>> means = measure_layers(network, [torch.zeros(3, 2, 2, 6, 6)], lambda r, q, s: s.mean())
        >>> list(means)
        ['blocks.conv1.neuron']
    """
    sums: dict[str, Tensor] = dict.fromkeys(all_neurons(network), torch.zeros(()))
    samples = dict.fromkeys(sums, 0)

    def note(name: str, before: Tensor, stored: Tensor, spikes: Tensor) -> None:
        count = spikes.shape[1]
        sums[name] = sums[name] + count * measure(before, stored, spikes).double()
        samples[name] += count

    follow_layers(network, batches, note, run)
    return {name: total / samples[name] for name, total in sums.items() if samples[name]}


class _Layer:
    """What one layer of neurons did since the last `finish_batch`."""

    def __init__(self, name: str, neuron: Any, note: Note) -> None:
        self.name, self.neuron, self.note = name, neuron, note
        self._quantized: list[tuple[Tensor, Tensor]] = []
        self._steps: list[tuple[Tensor, Tensor, Tensor]] = []

    def watch(self, stack: ExitStack) -> None:
        """Watch the neuron until the stack is left."""
        neuron = self.neuron
        membrane = getattr(neuron, "membrane", None)
        if isinstance(membrane, nn.Module):
            stack.enter_context(ForwardMonitor({self.name: membrane}, self._note_membrane))
        stack.enter_context(ForwardMonitor({self.name: neuron}, self._note_spikes))
        if is_multi_step(neuron) and hasattr(neuron, "store_v_seq"):
            stack.callback(setattr, neuron, "store_v_seq", neuron.store_v_seq)
            neuron.store_v_seq = True

    def finish_batch(self) -> None:
        """Hand on the steps that came one by one."""
        if self._steps:
            self.note(self.name, *(torch.stack(part) for part in zip(*self._steps, strict=True)))
            self._steps = []

    def _note_membrane(self, membrane: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self._quantized.append((inputs[0], output))

    def _note_spikes(self, neuron: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        spikes = output_spikes(output)
        quantized, self._quantized = self._quantized, []
        if is_multi_step(neuron):
            if quantized:
                before, stored = (torch.stack(part) for part in zip(*quantized, strict=True))
            else:
                before = stored = self._state("v_seq", spikes)
            self.note(self.name, before, stored, spikes)
        elif quantized:
            self._steps.append((*quantized[-1], spikes))
        else:
            stored = self._last_membrane(output, spikes)
            self._steps.append((stored, stored, spikes))

    def _last_membrane(self, output: Any, spikes: Tensor) -> Tensor:
        """Return the membrane that a step of a host's neuron has left."""
        if isinstance(output, tuple):
            return output[-1]
        return self._state("v" if hasattr(self.neuron, "v") else "mem", spikes)

    def _state(self, attribute: str, spikes: Tensor) -> Tensor:
        value = getattr(self.neuron, attribute, None)
        if not isinstance(value, Tensor) or value.shape != spikes.shape:
            kind = type(self.neuron).__name__
            raise QSNNError(f"{self.name}, a {kind}, does not show its membrane: {attribute}")
        return value
