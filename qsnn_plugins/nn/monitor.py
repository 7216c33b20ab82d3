"""A monitor of modules while a network runs: spikes, inputs, membranes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, Self

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

__all__ = ["ForwardMonitor", "output_spikes"]

# (module, inputs, output) of one forward, to what is kept of it
Reduction = Callable[[nn.Module, tuple[Any, ...], Any], Any]


def output_spikes(output: Any) -> Tensor:
    """Return the spikes from the output of a neuron; snnTorch's neurons may also return states.

    Example:
        >>> import torch
        >>> output_spikes((torch.tensor([1.0]), torch.tensor([0.3])))
        tensor([1.])
    """
    return output[0] if isinstance(output, tuple) else output


def _mean_output(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
    return output_spikes(output).mean()


class ForwardMonitor:
    """Reduces the outputs of modules with forward hooks, and sums the results.

    Results are summed with `+`: tensors, which keep their graph, so that a loss can use them, as
    well as lists and counters. No attribute, state or parameter is added to the network. The hooks
    are removed by `remove`, at the end of a `with` block, or when the monitor is deleted.

    Args:
        modules: Modules by name, such as the result of `quantized_neurons` or `weight_layers`.
        reduce: Takes module, inputs (those given by name come last) and output of a forward, and
            returns the value to add; None adds nothing. The default is the mean of the output: the
            firing rate of one-bit spikes, or the mean count of multi-bit spikes.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> with ForwardMonitor({"relu": network[1]}) as monitor:
        ...     _ = network(torch.zeros(4, 2))
        >>> list(monitor.means()), len(network[1]._forward_hooks)
        (['relu'], 0)
    """

    def __init__(self, modules: Mapping[str, nn.Module], reduce: Reduction = _mean_output) -> None:
        # in the order of `modules`, whichever runs first
        self._results: dict[str, _Result] = {name: _Result() for name in modules}
        handles = [
            module.register_forward_hook(_hook(self._results[name], reduce), with_kwargs=True)
            for name, module in modules.items()
        ]
        # the hooks hold the results and not the monitor, so that it can be collected
        self._finalizer = weakref.finalize(self, _remove, handles)

    @property
    def sums(self) -> dict[str, Any]:
        """The sum of the results of each module since `clear`, for modules with results."""
        return {name: result.sum for name, result in self._results.items() if result.count}

    @property
    def counts(self) -> list[int]:
        """How many results of each module were added up since `clear`."""
        return [result.count for result in self._results.values()]

    def means(self) -> dict[str, Any]:
        """Return the mean of the results of each module since `clear`, for modules with results."""
        return {n: result.sum / result.count for n, result in self._results.items() if result.count}

    def apply(self, function: Callable[[Any], Any]) -> None:
        """Replace every sum by `function` of it, such as a sum over devices."""
        for result in self._results.values():
            if result.count:
                result.sum = function(result.sum)

    def clear(self) -> None:
        """Clear all results."""
        for result in self._results.values():
            result.sum, result.count = None, 0

    def remove(self) -> None:
        """Remove the hooks; the results are kept."""
        self._finalizer()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Take the hooks out."""
        self.remove()


class _Result:
    """What has been added up of one module."""

    def __init__(self) -> None:
        self.sum: Any = None
        self.count = 0


def _hook(result: _Result, reduce: Reduction) -> Callable[..., None]:
    def add(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        value = reduce(module, (*inputs, *named.values()), output)
        if value is not None:
            result.sum = value if result.sum is None else result.sum + value
            result.count += 1

    return add


def _remove(handles: list[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()
