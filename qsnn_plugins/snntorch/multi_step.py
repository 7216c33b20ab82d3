"""Time-major input for single-step neurons."""

from __future__ import annotations

import torch
from snntorch import SpikingNeuron
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import wide
from qsnn_plugins.functional.spike import check_counts
from qsnn_plugins.nn import shown
from qsnn_plugins.spec.checks import number

__all__ = ["MultiStep"]


class MultiStep(nn.Module):
    """Runs a neuron of snnTorch or of this package over time-major input.

    The fused operator runs all steps if it supports the neuron and only spikes are returned.

    Input is [T, N, ...]; each output of the neuron is stacked to [T, N, ...]: only spikes if it has
    `init_hidden` and no `output`, otherwise spikes and membranes. The state is kept from one call
    to the next, until `reset_net`, and of 16-bit input in float32; the counters of pruning restart
    with each call.

    Args:
        neuron: A neuron that keeps its own state, such as `QuantLeaky`.
        gain: Factor of the input, since snnTorch's neurons do not divide it by tau; None is 1.

    Raises:
        ArgumentError: If `neuron` is not one of snnTorch or `gain` is not above 0; at a forward, if
            the input has no two dimensions for T and N, or no step.

    Example:
        >>> from qsnn_plugins.snntorch import TernaryLeaky
        >>> neuron = MultiStep(TernaryLeaky(beta=0.5, init_hidden=True, reset_delay=False))
        >>> neuron(torch.tensor([[[0.75]], [[0.25]], [[0.75]]])).flatten()
        tensor([0., 0., 1.])
    """

    gain: Tensor | None

    def __init__(self, neuron: nn.Module, gain: float | None = None) -> None:
        super().__init__()
        if not isinstance(neuron, SpikingNeuron):
            raise ArgumentError("neuron", type(neuron).__name__, "a neuron of snnTorch")
        if gain is not None:
            gain = number("a number above 0, or None", lambda x: x > 0)("gain", gain)
        self.neuron = neuron
        self.register_buffer("gain", None if gain is None else torch.tensor(gain))

    def forward(self, x_seq: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map x_seq [T, N, ...] to spikes, or to spikes and states, each [T, N, ...]."""
        if x_seq.dim() < 2 or not len(x_seq):
            raise ArgumentError("x_seq.shape", list(x_seq.shape), "[T, N, ...] with T from 1")
        if self.gain is not None:
            x_seq = x_seq * self.gain
        spec = getattr(self.neuron, "quant_spec", None)
        if spec is not None:
            check_counts(spec.spike.bits, x_seq.dtype)
        pruning = getattr(self.neuron, "pruning", None)
        if pruning is not None:
            pruning.restart()
        run_fused = getattr(self.neuron, "run_fused", None)
        spikes = None if run_fused is None else run_fused(x_seq)
        if spikes is not None:
            return spikes
        steps, means = [], []
        is_host = getattr(self.neuron, "_runs_host_steps", True)
        # as in the kernels nothing of 16 bits is rounded between steps
        for x in (x_seq if is_host else wide(x_seq)).unbind():
            steps.append(self.neuron(x))
            if getattr(self.neuron, "keeps_means", False):
                means.append(self.neuron.stored_means)
        if means:  # of all steps, for the gates that watch them
            self.neuron.stored_means = torch.cat(means)
        if isinstance(steps[0], Tensor):
            return torch.stack(steps).to(x_seq.dtype)
        cast = getattr(self.neuron, "cast_membrane", None)
        if cast is not None:
            steps = [(spike, cast(mem, x_seq.dtype)) for spike, mem in steps]
        return tuple(torch.stack(states).to(x_seq.dtype) for states in zip(*steps, strict=True))

    def extra_repr(self) -> str:
        """Name the gain, where there is one."""
        return "" if self.gain is None else f"gain={shown(self.gain)}"
