"""How active a network is: firing rates, active inputs, masked neurons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from qsnn_plugins.cost.layers import layer_kind
from qsnn_plugins.cost.neurons import all_neurons, evaluate_batches, is_multi_step
from qsnn_plugins.cost.trace import StepMode
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import ForwardMonitor, MembranePruning, channel_gates, output_spikes

__all__ = ["Activity", "ActivityRecorder", "measure_activity"]


@dataclass(frozen=True)
class Activity:
    """Activity of a network, as shares from 0 to 1 by the names of its layers.

    Args:
        source: Source of the shares, in words.
        rates: Firing rate of each layer of neurons.
        inputs: Share of non-zero inputs of each layer with weights; for a missing layer, the mean
            rate of the neurons before it.
        spatial: Share of neurons masked by spatial masks, of each layer of neurons.
        channel: Share of output channels masked by the gate of each gated convolution.
        default_rate: Rate of layers that are not in `rates`.
        default_spatial: The same for `spatial`.
        default_channel: The same for `channel`.

    Example:
        >>> Activity.uniform(0.1).rate("any layer")
        0.1
    """

    source: str
    rates: Mapping[str, float] = field(default_factory=dict)
    inputs: Mapping[str, float] = field(default_factory=dict)
    spatial: Mapping[str, float] = field(default_factory=dict)
    channel: Mapping[str, float] = field(default_factory=dict)
    default_rate: float | None = None
    default_spatial: float | None = None
    default_channel: float | None = None

    @classmethod
    def uniform(
        cls, rate: float, spatial: float | None = None, channel: float | None = None
    ) -> Activity:
        """Return the same firing rate for all neurons, and the same share for all masks.

        Args:
            rate: Firing rate: share of neurons and steps that fire.
            spatial: S_p, share of neurons masked by spatial masks, or None if unknown.
            channel: S_c, share of channels masked by gates, or None if unknown.

        Raises:
            ArgumentError: If a share is not from 0 to 1.

        Example:
            >>> Activity.uniform(0.1, spatial=0.35, channel=0.5).source
            'given: 0.1 for every neuron, 0.35 of the neurons and 0.5 of the channels masked'
        """
        for name, share in (("rate", rate), ("spatial", spatial), ("channel", channel)):
            if share is not None and not 0 <= share <= 1:
                raise ArgumentError(name, share, "a number from 0 to 1")
        source = f"given: {rate:g} for every neuron"
        if spatial is None and channel is None:
            return cls(source, default_rate=rate)
        spatial, channel = spatial or 0.0, channel or 0.0
        source += f", {spatial:g} of the neurons and {channel:g} of the channels masked"
        return cls(source, default_rate=rate, default_spatial=spatial, default_channel=channel)

    def rate(self, neuron: str) -> float | None:
        """Return the firing rate of a layer of neurons; None where it is not known."""
        return self.rates.get(neuron, self.default_rate)

    def masked(self, neuron: str) -> float | None:
        """Return the share of a layer's neurons that is masked; None where it is not known."""
        return self.spatial.get(neuron, self.default_spatial)

    def gated(self, layer: str) -> float | None:
        """Return the share of a convolution's channels that is masked; None where not known."""
        return self.channel.get(layer, self.default_channel)


class ActivityRecorder:
    """Measures the activity of a network while it runs.

    Its hooks are removed by `remove`, or at the end of a `with` block.

    Args:
        network: Any network.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> network = StringNet("4C3-GAP-FC2")
        >>> with ActivityRecorder(network) as recorder:
        ...     _ = network(torch.zeros(3, 2, 2, 6, 6))
        >>> recorder.activity("measured on zeros").inputs["blocks.conv1.synapse.0"]
        0.0
        >>> recorder.input_shape  # of one sample
        (3, 1, 2, 6, 6)
    """

    def __init__(self, network: nn.Module) -> None:
        self._neurons = neurons = all_neurons(network)
        layers = {name: m for name, m in network.named_modules() if layer_kind(m) is not None}
        pruned = {
            name: neuron
            for name, neuron in neurons.items()
            if isinstance(getattr(neuron, "pruning", None), MembranePruning)
        }
        self._shapes: list[tuple[int, ...]] = []
        self._shape = ForwardMonitor({"": network}, _note_shape(self._shapes))
        self._rates = ForwardMonitor(neurons, _active_spikes)
        self._inputs = ForwardMonitor(layers, _active_inputs)
        self._spatial = ForwardMonitor(pruned, _masked_neurons())
        self._channel = ForwardMonitor(channel_gates(network), _masked_channels)

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """Shape [T, 1, ...] of one sample of the first input; None where it never ran.

        The network has to take all steps [T, N, ...] at once.
        """
        return self._shapes[0] if self._shapes else None

    @property
    def ran_one_step(self) -> bool:
        """Whether every neuron takes one step at a time, and has run for one so far."""
        neurons = self._neurons.values()
        return self._rates.counts == [1] * len(neurons) and not any(map(is_multi_step, neurons))

    def merge(self, reduce: Callable[[Tensor], Tensor]) -> None:
        """Replace every count by `reduce` of it, such as a sum over devices."""
        for monitor in (self._rates, self._inputs, self._spatial, self._channel):
            monitor.apply(reduce)

    def remove(self) -> None:
        """Remove the hooks; the counts are kept."""
        for monitor in (self._shape, self._rates, self._inputs, self._spatial, self._channel):
            monitor.remove()

    def activity(self, source: str) -> Activity:
        """Return the activity so far.

        Args:
            source: Input of the network, in words.

        Raises:
            ArgumentError: If the network has not run.
        """
        rates, inputs = self._rates.sums, self._inputs.sums
        if not rates and not inputs:
            raise ArgumentError("batches", 0, "one forward or more before activity is read")
        return Activity(
            source,
            rates={name: _share(count) for name, count in rates.items()},
            inputs={name: _share(count) for name, count in inputs.items()},
            spatial={name: _share(masked) for name, masked in self._spatial.sums.items()},
            channel={name: _share(masked) for name, masked in self._channel.sums.items()},
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Take the hooks out."""
        self.remove()


def measure_activity(
    network: nn.Module,
    batches: Iterable[Tensor],
    source: str,
    step_mode: StepMode = "m",
    run: Callable[[Tensor], Any] | None = None,
) -> Activity:
    """Run a network on batches in evaluation mode, and measure its activity.

    The states are reset before each batch and after the last one. The training mode is restored.

    Args:
        network: Any network.
        batches: Inputs [T, N, ...], or inputs of `run`.
        source: Description of the batches, in words.
        step_mode: "m": the network takes all time steps at once; "s": one step per call.
        run: Runs one batch through the network; by default the network is called with it.

    Raises:
        ArgumentError: If there is no batch, `batches` is a single tensor, or a network that takes
            one step per call was given all steps at once.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> network = StringNet("4C3-GAP-FC2")
        >>> noise = (torch.rand(3, 2, 2, 6, 6) < 0.5).float()
        >>> 0 < measure_activity(network, [noise], "noise").inputs["blocks.conv1.synapse.0"] < 1
        True
    """
    if step_mode not in ("m", "s"):
        raise ArgumentError("step_mode", step_mode, "m or s")

    def run_steps(batch: Tensor) -> None:
        for x in batch:
            network(x)

    def run_all(batch: Tensor) -> None:
        network(batch)
        if len(batch) > 1 and recorder.ran_one_step:
            allowed = f"'s', or a `run`: each neuron ran for one step, of a batch of {len(batch)}"
            raise ArgumentError("step_mode", step_mode, allowed)

    if run is None:
        run = run_steps if step_mode == "s" else run_all
    with ActivityRecorder(network) as recorder:
        for _ in evaluate_batches(network, batches, run):
            pass
    return recorder.activity(source)


def _note_shape(shapes: list[tuple[int, ...]]) -> Callable[[nn.Module, Any, Any], None]:
    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        x = inputs[0]
        if not shapes and isinstance(x, Tensor) and x.dim() > 1:
            shapes.append((x.shape[0], 1, *x.shape[2:]))

    return note


def _active_spikes(neuron: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
    return _count_active(output_spikes(output))


def _active_inputs(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
    return torch.stack([_count_active(x) for x in inputs if isinstance(x, Tensor)]).sum(0)


def _count_active(values: Tensor) -> Tensor:
    """Active values and all values, as float64 on their device."""
    active = torch.count_nonzero(values.detach()).double()
    return torch.stack([active, torch.full_like(active, values.numel())])


def _masked_channels(gate: nn.Module, inputs: tuple[Any, ...], mask: Tensor) -> Tensor:
    return _count_active(mask.detach() == 0)


def _masked_neurons() -> Callable[[Any, tuple[Any, ...], Any], Tensor]:
    """Make a reduction to the masked share and how often, each step once for each sample.

    A hook on the pruning itself would take the neuron off its kernel.
    """
    previous: WeakKeyDictionary[nn.Module, Tensor] = WeakKeyDictionary()

    def reduce(neuron: Any, inputs: tuple[Any, ...], output: Any) -> Tensor:
        total = neuron.pruning._total.double()  # over the steps since the sequence began
        if is_multi_step(neuron):
            return total * inputs[0].shape[1]
        before, previous[neuron] = previous.get(neuron), total
        is_first = total[-1] == 1
        step = total if before is None else torch.where(is_first, total, total - before)
        return step * len(inputs[0])

    return reduce


def _share(count: Tensor) -> float:
    active, total = count.tolist()
    return active / total if total else 0.0
