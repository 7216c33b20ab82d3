"""Support for SpikingJelly 0.0.0.0.14: the only file that depends on the version.

From 2.0 on a neuron is written as a function of its input and its states. In 0.0.0.0.14 it is
written as hooks that change it; the class here calls the functions from there.
"""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import base, functional, neuron
from torch import Tensor, nn

__all__ = ["IS_LEGACY", "BaseNode", "forget_reset_cache"]

IS_LEGACY = not hasattr(base.MemoryModule, "single_step_functional_forward")


class _LegacyNode(neuron.BaseNode):
    """The functional contract of SpikingJelly 2.0 on the base class of 0.0.0.0.14."""

    v: Any

    def materialize_states(
        self, inputs: tuple[Tensor, ...], states: tuple[Any, ...], step_mode: str
    ) -> tuple[Any, ...]:
        x = inputs[0][0] if step_mode == "m" else inputs[0]
        v = states[0]
        if not isinstance(v, Tensor) or v.shape != x.shape:
            fresh = v if isinstance(v, float) else self.v_reset or 0.0
            return (torch.full_like(x, fresh, requires_grad=False), *states[1:])
        return (v.to(dtype=x.dtype, device=x.device), *states[1:])

    def single_step_forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        states = self.materialize_states((x,), (self.v,), "s")
        (spike,), (self.v,) = self.single_step_functional_forward((x,), states)
        return spike

    def multi_step_forward(self, x_seq: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        states = self.materialize_states((x_seq,), (self.v,), "m")
        if not self.store_v_seq:
            (spike_seq,), (self.v,) = self.multi_step_functional_forward((x_seq,), states)
            return spike_seq
        spikes, v_seq = [], []
        for x in x_seq.unbind():
            (spike,), states = self.single_step_functional_forward((x,), states)
            spikes.append(spike)
            v_seq.append(states[0])
        self.v, self.v_seq = states[0], torch.stack(v_seq)
        return torch.stack(spikes)


BaseNode: Any = _LegacyNode if IS_LEGACY else neuron.BaseNode


def forget_reset_cache(network: nn.Module) -> None:
    """Have `functional.reset_net` look for modules anew, in networks that hold this one too.

    0.0.0.0.14 always does.

    Example:
        >>> forget_reset_cache(nn.ReLU())
    """
    if not IS_LEGACY:
        cached = getattr(functional.net_config, "_RESET_MODULE_CACHE", ())
        for module in [*network.modules(), *cached]:
            functional.invalidate_reset_cache(module)
