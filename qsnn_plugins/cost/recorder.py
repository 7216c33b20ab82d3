"""Measuring how active a network is, through hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qsnn_plugins.cost.activity import Activity
from qsnn_plugins.cost.neurons import all_neurons, forget_states
from qsnn_plugins.cost.trace import StepMode
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import MembranePruning, Sparsity, weight_layers

__all__ = ["ActivityRecorder", "measure_activity"]


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
