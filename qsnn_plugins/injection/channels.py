"""The channels that each neuron of a network sees, from one run of a copy of the network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError

__all__ = ["InputShapes"]


class InputShapes:
    """Shapes of the inputs that each module of a network got in one run of a copy of it.

    Args:
        network: The network; it stays as it is.
        example_input: Its input.

    Raises:
        ArgumentError: If there is no input, or the network cannot be copied.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        >>> InputShapes(network, torch.rand(2, 3)).channels(network[1], 1)
        4
    """

    def __init__(self, network: nn.Module, example_input: Any) -> None:
        if example_input is None:
            allowed = "an input of the network: the spec needs to know the channels of each neuron"
            raise ArgumentError("example_input", None, allowed)
        try:
            twin = copy.deepcopy(network)
        except RuntimeError as error:
            allowed = f"one whose states were reset: it cannot be copied ({error})"
            raise ArgumentError("network", type(network).__name__, allowed) from error
        self._shapes: dict[int, set[torch.Size]] = {}
        for original, copied in zip(network.modules(), twin.modules(), strict=True):
            copied.register_forward_pre_hook(self._record_for(original))
        with torch.no_grad():
            twin.eval()(example_input)

    def _record_for(self, module: nn.Module) -> Callable[[nn.Module, Any], None]:
        shapes = self._shapes.setdefault(id(module), set())

        def record(_: nn.Module, inputs: Any) -> None:
            if inputs and isinstance(inputs[0], Tensor):
                shapes.add(inputs[0].shape)

        return record

    def of(self, module: nn.Module) -> list[tuple[int, ...]]:
        """Return the distinct shapes that a module got, in ascending order."""
        return sorted(map(tuple, self._shapes[id(module)]))

    def channels(self, module: nn.Module, dim: int) -> int | None:
        """Return the size of a dimension of a module's input; None where it is not one size."""
        sizes = {shape[dim] for shape in self.of(module) if len(shape) > dim}
        return sizes.pop() if len(sizes) == 1 else None
