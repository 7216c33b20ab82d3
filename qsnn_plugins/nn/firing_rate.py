"""Firing rates of any modules, watched from outside."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qsnn_plugins.errors import ArgumentError

__all__ = ["FiringRates"]


def _recorder(means: list[Tensor]) -> Callable[[nn.Module, Any, Any], None]:
    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        spikes = output[0] if isinstance(output, tuple) else output
        means.append(spikes.mean())

    return record


def _remove(handles: list[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()


class FiringRates:
    """Watches the spikes that modules of a network send out, through forward hooks.

    The network is left as it is: no attribute, no state, no parameter is added. The hooks are gone
    after `remove`, at the end of a `with` block, or once this object is. Rates keep their graph, so
    that a loss over them trains the network; call `clear` before each batch, or they add up.

    Args:
        network: Any network.
        kinds: Classes of the modules to watch, in the order of their definition; or their names.

    Raises:
        ArgumentError: If no module is of these kinds, or a name is unknown.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> with FiringRates(network, [nn.ReLU]) as rates:
        ...     spikes = network(torch.zeros(4, 2) + 1)
        >>> list(rates.by_name()), len(network[1]._forward_hooks)
        (['1'], 0)
    """

    def __init__(
        self, network: nn.Module, kinds: Iterable[type[nn.Module]] | Iterable[str]
    ) -> None:
        wanted: list[Any] = list(kinds)
        modules = dict(network.named_modules())
        names = [kind for kind in wanted if isinstance(kind, str)]
        for name in names:
            if name not in modules:
                raise ArgumentError("kinds", name, "names of the network's modules")
        classes = tuple(kind for kind in wanted if not isinstance(kind, str))
        watched = [n for n, m in modules.items() if n in names or isinstance(m, classes)]
        if not watched:
            raise ArgumentError("kinds", wanted, "classes or names of modules of the network")
        self._means: dict[str, list[Tensor]] = {name: [] for name in watched}
        handles = [
            modules[name].register_forward_hook(_recorder(means))
            for name, means in self._means.items()
        ]
        # the hooks hold the lists and not this object, so that it can be collected
        self._finalizer = weakref.finalize(self, _remove, handles)

    def by_name(self) -> dict[str, Tensor]:
        """Return each module's mean output, a scalar, over its forwards since `clear`.

        For one-bit spikes it is the firing rate; for several bits the mean count. A module that
        has not run yet is left out.
        """
        return {n: torch.stack(means).mean() for n, means in self._means.items() if means}

    def values(self) -> list[Tensor]:
        """Return the rates of `by_name` in the order of the network, for a loss."""
        return list(self.by_name().values())

    def clear(self) -> None:
        """Forget the forwards so far."""
        for means in self._means.values():
            means.clear()

    def remove(self) -> None:
        """Take the hooks out of the network; the rates stay readable."""
        self._finalizer()

    def __enter__(self) -> FiringRates:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the hooks out."""
        self.remove()
