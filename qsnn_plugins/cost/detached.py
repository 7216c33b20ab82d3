"""Copies of networks that can always be made, with states that carry gradients too."""

from __future__ import annotations

import copy
from types import ModuleType
from typing import Any

from torch import Tensor, nn

__all__ = ["detached_copy"]


def detached_copy(network: nn.Module, with_values: bool) -> nn.Module:
    """A copy of a network: on the meta device, where its tensors are not copied, or on the CPU."""
    memo: dict[int, Any] = {}
    for module in network.modules():
        own = (module._parameters, module._buffers, vars(module), vars(module).get("_memories", {}))
        for value in (value for values in own for value in values.values()):
            if isinstance(value, ModuleType):  # which cannot be copied, and need not be
                memo[id(value)] = value
            elif isinstance(value, Tensor) and id(value) not in memo:
                memo[id(value)] = _plain(value, "cpu" if with_values else "meta")
    return copy.deepcopy(network, memo)


def _plain(tensor: Tensor, device: str) -> Tensor:
    moved = tensor.detach().to(device)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(moved, requires_grad=tensor.requires_grad)
    return moved.clone()
