"""SpikingJelly's LIF, IF and PLIF neurons with quantized membranes."""

from __future__ import annotations

import math
from typing import Any

import torch
from spikingjelly.activation_based import functional
from torch import Tensor, nn

from qsnn_plugins.functional.neuron import if_charge, lif_charge, plif_charge
from qsnn_plugins.nn import shown
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spec.checks import boolean
from qsnn_plugins.spikingjelly.base import QuantNode
from qsnn_plugins.spikingjelly.checks import check_above

__all__ = ["QuantIFNode", "QuantLIFNode", "QuantParametricLIFNode"]


class QuantLIFNode(QuantNode):
    r"""LIF neuron with a quantized membrane. NOTE: `decay_input` is False here, True in `LIFNode`.

        h[t] = v[t-1] - (v[t-1] - v_reset) / tau + x[t]     charge (decay_input=False)
        h[t] ← masked h[t]                                  where the spec masks neurons
        s[t] = 1[h[t] >= v_threshold]                       fire, with a surrogate gradient;
                                                            > where the spec's comparison says so
        r[t] = s[t] v_reset + (1 - s[t]) h[t]               reset (hard; soft where v_reset=None)
        v[t] = Q(r[t])                                      store

    Input is [N, ...] in single-step mode and [T, N, ...] in multi-step mode; spikes have the same
    shape, and `v` holds the stored membrane [N, ...]. The defaults of `tau` and `decay_input` are
    the papers' u[t] = 0.5 u[t-1] + x[t]; the host's are 0.5 u[t-1] + 0.5 x[t]. A multi-bit spike
    counts how many times `v_threshold` fits into h[t]. With the separate gradient, the threshold
    gets no other gradient, neither from the soft reset nor from the value of a spike. With
    `QuantSpec.full_precision()` and the same surrogate, this neuron equals `LIFNode` bit for bit.

    Args:
        tau: Membrane time constant in steps, above 1.
        decay_input: Whether the input is also divided by `tau`, as by default in `LIFNode`.
        v_threshold: Threshold, above 0; the initial value of a learned threshold.
        v_reset: Membrane after a spike, or None for the soft reset.
        surrogate_function: A surrogate of SpikingJelly, or None for that of the spec.
        detach_reset: Whether no gradient flows through the reset.
        step_mode: "s" or "m".
        store_v_seq: Whether a multi-step forward keeps the stored membranes in `v_seq`.
        spec: How the neuron is quantized: a `QuantSpec`, or anything that `presets.resolve`
            accepts. Its weight part is not used here.
        channels: Channels C of the input [N, C, ...]; needed for learned thresholds per channel.

    Raises:
        ArgumentError: If an argument is not allowed, or `channels` is needed and missing; at a
            forward, if the input has the wrong dimensions, channels or device.

    Example:
        >>> node = QuantLIFNode(step_mode="m", spec=QuantSpec.full_precision())
        >>> node(torch.full((3, 1), 0.75)).flatten()
        tensor([0., 1., 0.])
    """

    def __init__(
        self,
        tau: float = 2.0,
        decay_input: bool = False,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: nn.Module | None = None,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        spec: QuantSpec | None = None,
        channels: int | None = None,
    ) -> None:
        check_above("tau", tau, 1)
        boolean("decay_input", decay_input)
        super().__init__(
            v_threshold, v_reset, surrogate_function, detach_reset, step_mode, store_v_seq, spec,
            channels,
        )  # fmt: skip
        self.tau, self.decay_input = float(tau), decay_input

    def fused_leak(self) -> dict[str, Any]:
        """Return the leak as the kernels take it."""
        return {"tau": self.tau, "decay_input": self.decay_input}

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        """Return `functional.lif_charge` of x and v, each of shape [N, ...]."""
        return lif_charge(x, v, self.tau, self.decay_input, self.v_reset or 0.0)

    def host_steps(self, x_seq: Tensor, v: Tensor, store_v_seq: bool) -> tuple[Any, ...]:
        """Run the steps of SpikingJelly's `LIFNode`."""
        return functional.lif_multi_step(
            x_seq, v, self.tau, self.decay_input, self.v_threshold, self.v_reset,
            self.surrogate_function, self.detach_reset, store_v_seq,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Extend the host's line by the time constant."""
        return f"{super().extra_repr()}, tau={self.tau}, decay_input={self.decay_input}"


class QuantIFNode(QuantNode):
    """IF neuron of SpikingJelly with a membrane quantized by a `QuantSpec`.

        h[t] = v[t-1] + x[t]

    For the rest, the shapes and the arguments see `QuantLIFNode`.

    Args:
        v_threshold: See `QuantLIFNode`, as for all arguments that are not explained here.
        spec: How the neuron is quantized.

    Raises:
        ArgumentError: See `QuantLIFNode`.

    Example:
        >>> node = QuantIFNode(step_mode="m", store_v_seq=True)
        >>> node(torch.tensor([[0.75], [0.25]])).flatten(), node.v_seq.flatten()
        (tensor([0., 1.]), tensor([1., 0.]))
    """

    def __init__(
        self,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: nn.Module | None = None,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        spec: QuantSpec | None = None,
        channels: int | None = None,
    ) -> None:
        super().__init__(
            v_threshold, v_reset, surrogate_function, detach_reset, step_mode, store_v_seq, spec,
            channels,
        )  # fmt: skip

    def fused_leak(self) -> dict[str, Any]:
        """Return the leak as the kernels take it: none."""
        return {"tau": None}

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        """Return `functional.if_charge` of x and v, each of shape [N, ...]."""
        return if_charge(x, v)

    def host_steps(self, x_seq: Tensor, v: Tensor, store_v_seq: bool) -> tuple[Any, ...]:
        """Run the steps of SpikingJelly's `IFNode`."""
        return functional.if_multi_step(
            x_seq, v, self.v_threshold, self.v_reset, self.surrogate_function,
            self.detach_reset, store_v_seq,
        )  # fmt: skip


class QuantParametricLIFNode(QuantNode):
    r"""Quantized PLIF neuron. NOTE: `decay_input` is False here, True in `ParametricLIFNode`.

        h[t] = v[t-1] - (v[t-1] - v_reset) σ(w) + x[t]      (decay_input=False)

    1 / tau = σ(w) is learned (Fang et al., ICCV 2021). For the rest, the shapes and the arguments
    see `QuantLIFNode`.

    Args:
        init_tau: Initial membrane time constant in steps, above 1.
        decay_input: Whether the input is also divided by tau.
        v_threshold: See `QuantLIFNode`, as for all arguments that are not explained here.
        spec: How the neuron is quantized.

    Raises:
        ArgumentError: See `QuantLIFNode`.

    Example:
        >>> QuantParametricLIFNode(init_tau=4.0).w.sigmoid()
        tensor(0.2500, grad_fn=<SigmoidBackward0>)
    """

    def __init__(
        self,
        init_tau: float = 2.0,
        decay_input: bool = False,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: nn.Module | None = None,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        spec: QuantSpec | None = None,
        channels: int | None = None,
    ) -> None:
        check_above("init_tau", init_tau, 1)
        boolean("decay_input", decay_input)
        super().__init__(
            v_threshold, v_reset, surrogate_function, detach_reset, step_mode, store_v_seq, spec,
            channels,
        )  # fmt: skip
        self.decay_input = decay_input
        self.w = nn.Parameter(torch.as_tensor(-math.log(init_tau - 1.0)))

    def fused_leak(self) -> dict[str, Any]:
        """Return the leak as the kernels take it: a rate that gets its gradient."""
        return {"has_rate": True, "decay": self.w.sigmoid(), "decay_input": self.decay_input}

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        """Return `functional.plif_charge` of x and v, each of shape [N, ...]."""
        return plif_charge(x, v, self.w.sigmoid(), self.decay_input, self.v_reset or 0.0)

    def host_steps(self, x_seq: Tensor, v: Tensor, store_v_seq: bool) -> tuple[Any, ...]:
        """Run the steps of SpikingJelly's `ParametricLIFNode`."""
        return functional.plif_multi_step(
            x_seq, v, self.w, self.decay_input, self.v_threshold, self.v_reset,
            self.surrogate_function, self.detach_reset, store_v_seq,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Extend the host's line by the time constant."""
        tau = shown(1 / self.w.detach().sigmoid())
        return f"{super().extra_repr()}, tau={tau}, decay_input={self.decay_input}"
