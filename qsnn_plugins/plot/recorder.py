"""The membranes and spikes of every layer while a network runs, through hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qsnn_plugins.cost.neurons import all_neurons
from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.plot.running import Run, run_batches

__all__ = ["measure_layers"]

# (after the reset, stored, spikes), each [T, N, ...], to means over the N samples
Measure = Callable[[Tensor, Tensor, Tensor], Tensor]


def measure_layers(
    network: nn.Module, batches: Iterable[Tensor], measure: Measure, run: Run | None = None
) -> dict[str, Tensor]:
    """Apply a function to the membranes and spikes of each layer of neurons.

    `measure(r, q, s)` gets what a layer did in all steps, each [T, N, ...]: the membranes after
    the reset and before they are quantized, the stored ones, and the spikes. A neuron of a host,
    or one that quantizes nothing, stores what it has: there r is q. Where snnTorch resets one step
    later, r is the membrane before that reset.

    The network runs in evaluation mode; its states are forgotten before each batch and after the
    last, and nothing of the hooks stays.

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
    layers = {name: _Layer(name, neuron, measure) for name, neuron in all_neurons(network).items()}
    if not layers:
        raise ArgumentError("network", type(network).__name__, "a network that has neurons")
    try:
        for layer in layers.values():
            layer.watch()
        for _ in run_batches(network, batches, run):
            for layer in layers.values():
                layer.finish()
    finally:
        for layer in layers.values():
            layer.leave()
    return {name: layer.sum / layer.samples for name, layer in layers.items() if layer.samples}


class _Layer:
    """What one layer of neurons did since the last `finish`."""

    def __init__(self, name: str, neuron: Any, measure: Measure) -> None:
        self.name, self.neuron, self.measure = name, neuron, measure
        self.sum: Tensor = torch.zeros(())
        self.samples = 0
        self._handles: list[RemovableHandle] = []
        self._kept_sequence: bool | None = None
        self._before: list[Tensor] = []
        self._steps: list[tuple[Tensor, Tensor, Tensor]] = []
        self._stored: list[Tensor] = []

    def watch(self) -> None:
        """Put the hooks in."""
        membrane = getattr(self.neuron, "membrane", None)
        if isinstance(membrane, nn.Module):
            self._handles.append(membrane.register_forward_hook(self._quantized))
        self._handles.append(self.neuron.register_forward_hook(self._fired))
        if getattr(self.neuron, "step_mode", "s") == "m" and hasattr(self.neuron, "store_v_seq"):
            self._kept_sequence = self.neuron.store_v_seq
            self.neuron.store_v_seq = True

    def leave(self) -> None:
        """Take the hooks out."""
        for handle in self._handles:
            handle.remove()
        if self._kept_sequence is not None:
            self.neuron.store_v_seq = self._kept_sequence

    def finish(self) -> None:
        """Count the steps that came one by one."""
        if self._steps:
            parts = [torch.stack(part) for part in zip(*self._steps, strict=True)]
            self._steps = []
            self._count(*parts)

    def _quantized(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        self._before.append(args[0])
        self._stored.append(output)

    def _fired(self, module: nn.Module, args: Any, output: Any) -> None:
        spikes = output[0] if isinstance(output, tuple) else output
        before, stored = self._before, self._stored
        self._before, self._stored = [], []
        if getattr(self.neuron, "step_mode", "s") == "m":
            kept = torch.stack(stored) if stored else self._state("v_seq", spikes)
            self._count(torch.stack(before) if before else kept, kept, spikes)
            return
        kept = stored[-1] if stored else self._last(output, spikes)
        self._steps.append((before[-1] if before else kept, kept, spikes))

    def _last(self, output: Any, spikes: Tensor) -> Tensor:
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

    def _count(self, before: Tensor, stored: Tensor, spikes: Tensor) -> None:
        samples = spikes.shape[1]
        self.sum = self.sum + samples * self.measure(before, stored, spikes).double()
        self.samples += samples
