"""How active a network is: firing rates, active inputs, masked neurons; given or measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qsnn_plugins.cost.neurons import all_neurons, forget_states
from qsnn_plugins.cost.trace import StepMode
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import MembranePruning, Sparsity, weight_layers

__all__ = ["Activity", "ActivityRecorder", "measure_activity"]


@dataclass(frozen=True)
class Activity:
    """Shares from 0 to 1 of what is active in a network, by the names of its layers.

    Args:
        source: Where the shares come from, in words.
        rates: Neurons and steps that fire, of each layer of neurons.
        inputs: Inputs that are not zero, of each layer with weights; where a layer is missing, the
            mean rate of the neurons that it takes.
        sparsity: What pruning masks, of each layer of neurons.

    Example:
        >>> Activity.given(0.1).rate("any layer")
        0.1
    """

    source: str
    rates: Mapping[str, float] = field(default_factory=dict)
    inputs: Mapping[str, float] = field(default_factory=dict)
    sparsity: Mapping[str, Sparsity] = field(default_factory=dict)
    same_rate: float | None = None
    same_sparsity: Sparsity | None = None

    @classmethod
    def given(
        cls, rate: float, spatial: float | None = None, channel: float | None = None
    ) -> Activity:
        """State one firing rate for all neurons and, where they are pruned, what is masked.

        Args:
            rate: Share of neurons and steps that fire.
            spatial: S_p, share of neurons that spatial masks take, or None for unknown.
            channel: S_c, share of channels that channel masks take, or None for unknown.

        Raises:
            ArgumentError: If a share is not from 0 to 1.

        Example:
            >>> Activity.given(0.1, spatial=0.35, channel=0.5).source
            'given: 0.1 for every neuron, 0.35 of the neurons and 0.5 of the channels masked'
        """
        for name, share in (("rate", rate), ("spatial", spatial), ("channel", channel)):
            if share is not None and not 0 <= share <= 1:
                raise ArgumentError(name, share, "a number from 0 to 1")
        source = f"given: {rate:g} for every neuron"
        if spatial is None and channel is None:
            return cls(source, same_rate=rate)
        spatial, channel = spatial or 0.0, channel or 0.0
        source += f", {spatial:g} of the neurons and {channel:g} of the channels masked"
        masked = Sparsity(spatial, channel, 1 - (1 - spatial) * (1 - channel))
        return cls(source, same_rate=rate, same_sparsity=masked)

    def rate(self, neuron: str) -> float | None:
        """Return the firing rate of a layer of neurons; None where it is not known."""
        return self.rates.get(neuron, self.same_rate)

    def masked(self, neuron: str) -> Sparsity | None:
        """Return what pruning masks in a layer of neurons; None where it is not known."""
        return self.sparsity.get(neuron, self.same_sparsity)


class ActivityRecorder:
    """Counts what is active in a network while it runs, through hooks.

    The hooks are gone after `stop`, or at the end of a `with` block.

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
        self.input_shape: tuple[int, ...] | None = None
        # active ones and all, as float64 on the device where they are counted
        self._rates: dict[str, Tensor] = {}
        self._inputs: dict[str, Tensor] = {}
        self._sparsity: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = [network.register_forward_pre_hook(self._watch)]
        for name, neuron in all_neurons(network).items():
            self._handles.append(neuron.register_forward_hook(self._fired(name)))
            for part in neuron.children():
                if isinstance(part, MembranePruning):
                    self._handles.append(part.register_forward_hook(self._masked(name)))
        for name, layer in weight_layers(network).items():
            self._handles.append(layer.register_forward_pre_hook(self._arrived(name)))

    def _watch(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if isinstance(args[0], Tensor) and args[0].dim() > 1:
            steps, _, *rest = args[0].shape
            self.input_shape = (steps, 1, *rest)

    def _fired(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            _add(self._rates, name, output[0] if isinstance(output, tuple) else output)

        return hook

    def _arrived(self, name: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: Any) -> None:
            _add(self._inputs, name, args[0])

        return hook

    def _masked(self, name: str) -> Callable[[Any, Any, Any], None]:
        before = torch.zeros(4)

        def hook(module: Any, args: Any, output: Tensor) -> None:
            nonlocal before
            now = module._total.double()
            # it adds up the steps of a sequence
            is_first = now[-1] == 1
            step = torch.where(is_first, now, now - before.to(now))
            before = now
            total = self._sparsity.get(name, 0) + step * len(args[0])
            self._sparsity[name] = total

        return hook

    def merge(self, reduce: Callable[[Tensor], Tensor]) -> None:
        """Replace every count by `reduce` of it, such as a sum over devices."""
        for counts in (self._rates, self._inputs, self._sparsity):
            for name, count in counts.items():
                counts[name] = reduce(count)

    def stop(self) -> None:
        """Take the hooks out; what was counted stays."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def activity(self, source: str) -> Activity:
        """Return what was counted so far.

        Args:
            source: What the network ran on, in words.

        Raises:
            ArgumentError: If the network has not run.
        """
        if not self._rates and not self._inputs:
            raise ArgumentError("batches", 0, "one forward or more before activity is read")
        return Activity(
            source,
            rates={name: _share(count) for name, count in self._rates.items()},
            inputs={name: _share(count) for name, count in self._inputs.items()},
            sparsity={
                name: Sparsity(*(masked[:3] / masked[3]).tolist())
                for name, masked in self._sparsity.items()
            },
        )

    def __enter__(self) -> ActivityRecorder:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the hooks out."""
        self.stop()


def measure_activity(
    network: nn.Module, batches: Iterable[Tensor], source: str, step_mode: StepMode = "m"
) -> Activity:
    """Run a network on batches, in evaluation mode, and count what is active.

    The network's states are forgotten before each batch and after the last; its mode is kept.

    Args:
        network: Any network.
        batches: Inputs [T, N, ...].
        source: What they are, in words.
        step_mode: "m": the network takes all steps at once; "s": one after the other.

    Raises:
        ArgumentError: If there is no batch.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> network = StringNet("4C3-GAP-FC2")
        >>> noise = (torch.rand(3, 2, 2, 6, 6) < 0.5).float()
        >>> 0 < measure_activity(network, [noise], "noise").inputs["blocks.conv1.synapse.0"] < 1
        True
    """
    modes = {module: module.training for module in network.modules()}
    try:
        with ActivityRecorder(network.eval()) as recorder, torch.no_grad():
            for batch in batches:
                forget_states(network)
                for x in batch.unbind() if step_mode == "s" else [batch]:
                    network(x)
    finally:
        forget_states(network)
        for module, mode in modes.items():
            module.training = mode
    return recorder.activity(source)


def _add(counts: dict[str, Tensor], name: str, values: Tensor) -> None:
    active = torch.count_nonzero(values.detach()).double()
    count = torch.stack([active, torch.full_like(active, values.numel())])
    counts[name] = counts[name].to(count.device) + count if name in counts else count


def _share(count: Tensor) -> float:
    active, total = count.tolist()
    return active / total if total else 0.0
