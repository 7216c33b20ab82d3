"""Lapicque's neuron with a quantized membrane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.functional.neuron import leaky_charge
from qsnn_plugins.nn import ResetTime
from qsnn_plugins.snntorch.checks import check_all
from qsnn_plugins.snntorch.neuron import QuantLeaky
from qsnn_plugins.spec import QuantSpec

__all__ = ["QuantLapicque", "leak_and_gain"]


def leak_and_gain(time_step: Tensor, resistance: Tensor, capacity: Tensor) -> tuple[Tensor, Tensor]:
    """Return 1 - Δt / RC and Δt / C, each of shape [], of the host's Δt, R and C.

    Example:
        >>> leak_and_gain(torch.tensor(1), torch.tensor(2.0), torch.tensor([2.0]))
        (tensor(0.7500), tensor(0.5000))
    """
    gain = (time_step / capacity).reshape(())
    return (1 - time_step / (resistance * capacity)).reshape(()), gain


class QuantLapicque(QuantLeaky):
    r"""Lapicque neuron of snnTorch with a membrane quantized by a `QuantSpec`.

        h[t] = (1 - Δt / RC) m[t-1] + (Δt / C) x[t]

    The reset happens one step later, as in `snntorch.Lapicque`; "zero" also removes the new charge,
    so h is 0 in the step after a spike. Everything else is as in `QuantLeaky`, from which it is
    derived so that the tools of snnTorch accept it. A state dict of the host's neuron, with R and
    C, can be loaded.

    Args:
        leak: 1 - Δt / RC, from 0 to 1.
        gain: Δt / C.
        threshold: See `QuantLeaky`, as for all arguments that are not explained here.
        spike_grad: Surrogate gradient of the host, or None for that of the spec.
        surrogate_disable: Whether spikes have no surrogate gradient.
        init_hidden: Whether the state is kept inside the neuron and not passed.
        learn_beta: Whether the leak is a parameter.
        learn_threshold: Whether the threshold is a parameter.
        reset_mechanism: "subtract", "zero" or "none".
        output: Whether the membrane is also returned with `init_hidden`.
        graded_spikes_factor: Factor of the output spikes.
        learn_graded_spikes_factor: Whether it is a parameter.
        spec: How the neuron is quantized.
        channels: Channels C of the input [N, C, ...].

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> lif = QuantLapicque(leak=0.5, gain=0.25, reset_mechanism="zero")
        >>> spk, mem = lif(torch.tensor([3.0, 5.0]))
        >>> spk, lif(torch.tensor([1.0, 5.0]), mem)[1]
        (tensor([0., 1.]), tensor([1., 0.]))
    """

    gain: Tensor

    def __init__(
        self,
        leak: Tensor | float,
        gain: Tensor | float,
        threshold: Tensor | float = 1.0,
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        output: bool = False,
        graded_spikes_factor: Tensor | float = 1.0,
        learn_graded_spikes_factor: bool = False,
        *,
        spec: QuantSpec | None = None,
        channels: int | None = None,
    ) -> None:
        check_all("gain", gain, "a finite number", torch.isfinite)
        super().__init__(
            leak,
            threshold,
            spike_grad,
            surrogate_disable,
            init_hidden,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            reset_mechanism=reset_mechanism,
            output=output,
            graded_spikes_factor=graded_spikes_factor,
            learn_graded_spikes_factor=learn_graded_spikes_factor,
            reset_delay=True,
            spec=spec,
            channels=channels,
        )
        self.register_buffer("gain", self.beta.new_tensor(float(gain)))

    @property
    def reset_time(self) -> ResetTime:
        """When a spike resets, as `nn.Cell` takes it."""
        return "never" if self.reset_mechanism == "none" else "after_charge"

    @property
    def _runs_host_steps(self) -> bool:
        return False  # the host's forward is Leaky's

    def charge(self, x: Tensor, m: Tensor) -> Tensor:
        """Return `functional.leaky_charge` of x and the stored m, each of shape [N, ...]."""
        return leaky_charge(x, m, self.beta.to(x.dtype).clamp(0, 1), self.gain.to(x.dtype))

    def init_lapicque(self) -> Tensor:
        """Return `reset_mem()`: the host's name, which networks call in their forward."""
        return self.reset_mem()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        host = [f"{prefix}{name}" for name in ("time_step", "R", "C")]
        if all(key in state_dict for key in host):  # there beta is exp(-Δt / RC), and does not leak
            leak, gain = leak_and_gain(*(state_dict.pop(key) for key in host))
            state_dict[f"{prefix}beta"], state_dict[f"{prefix}gain"] = leak, gain
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def run_fused(self, x_seq: Tensor) -> None:
        """Leave the steps to the loop: no kernel charges so."""
