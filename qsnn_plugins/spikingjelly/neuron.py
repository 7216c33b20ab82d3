"""Neurons with quantized membranes, native in SpikingJelly."""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.neuron import lif_charge, reset, step
from qsnn_plugins.functional.threshold import distance, keep_positive, per_channel
from qsnn_plugins.nn import MembranePruning, Spike, membrane_quantizer
from qsnn_plugins.spec import MembraneSpec, QuantSpec, SpikeSpec, ThresholdSpec

__all__ = ["QuantLIFNode", "TernaryLIFNode"]


class QuantLIFNode(neuron.BaseNode):
    r"""LIF neuron of SpikingJelly whose membrane is stored as a `QuantSpec` says.

        h[t] = v[t-1] - (v[t-1] - v_reset) / tau + x[t]     charge (decay_input=False)
        h[t] ← h[t] M[t]                                    mask, where the spec prunes
        s[t] = 1[h[t] >= v_threshold]                       fire, with a surrogate gradient
        r[t] = s[t] v_reset + (1 - s[t]) h[t]               reset (hard; soft where v_reset=None)
        v[t] = Q(r[t])                                      store

    Input is [N, ...] in single-step mode and [T, N, ...] in multi-step mode; spikes have the same
    shape, and `v` holds the stored membrane [N, ...]. The defaults of `tau` and `decay_input` are
    the papers' u[t] = 0.5 u[t-1] + x[t]. A spike of several bits counts how often `v_threshold`
    fits into h[t]. On the separate gradient path the threshold learns by that path alone: the soft
    reset and a spike's value do not add to it.

    Args:
        tau: Membrane time constant in steps, above 1.
        decay_input: Whether the input is divided by `tau` too (the default of LIFNode).
        v_threshold: Threshold, above 0; its first value where it learns.
        v_reset: Membrane after a spike, or None for the soft reset.
        surrogate_function: One of SpikingJelly's, or None for the one that the spec names.
        detach_reset: Whether the gradient is kept from flowing through the reset.
        step_mode: "s" or "m".
        store_v_seq: Whether a multi-step forward keeps the stored membranes in `v_seq`.
        spec: How the neuron is quantized; its weight part is not read here.
        channels: Channels C of the input [N, C, ...]; needed where each learns a threshold or is
            masked.

    Raises:
        ArgumentError: If an argument is not allowed, or `channels` is needed and missing.

    Example:
        >>> from qsnn_plugins.spec import QuantSpec
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
        if not tau > 1:
            raise ArgumentError("tau", tau, "a number above 1")
        if not v_threshold > 0:
            raise ArgumentError("v_threshold", v_threshold, "a number above 0")
        spec = spec or QuantSpec()
        if surrogate_function is not None and spec.spike.bits > 1:
            allowed = f"None: spikes of {spec.spike.bits} bits have a gradient of their own"
            raise ArgumentError("surrogate_function", surrogate_function, allowed)
        super().__init__(
            v_threshold=float(v_threshold),
            v_reset=None if v_reset is None else float(v_reset),
            surrogate_function=surrogate_function or Spike.from_spec(spec.spike),
            detach_reset=detach_reset,
            step_mode=step_mode,
            store_v_seq=store_v_seq,
        )
        self.tau, self.decay_input, self.quant_spec = float(tau), decay_input, spec
        self.membrane = membrane_quantizer(spec.membrane)
        self.pruning = MembranePruning(spec.pruning, channels) if spec.pruning.prunes else None
        if spec.threshold.learned:
            shape = self._threshold_shape(channels)
            self.v_threshold: Any = nn.Parameter(torch.full(shape, float(v_threshold)))

    def _threshold_shape(self, channels: int | None) -> tuple[int, ...]:
        if self.quant_spec.threshold.per == "layer":
            return ()
        if channels is None or channels < 1:
            raise ArgumentError("channels", channels, "an integer from 1: one threshold a channel")
        return (channels,)

    def single_step_functional_forward(
        self, inputs: tuple[Tensor, ...], states: tuple[Any, ...], **kwargs: object
    ) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        """Map (x,) and (v,) of one step to (spikes,) and the new (v,), each of shape [N, ...]."""
        x = inputs[0]
        learning = self.quant_spec.threshold
        threshold = constant = self.v_threshold
        if isinstance(threshold, Tensor):
            threshold = per_channel(keep_positive(threshold), x.dim()).to(x.dtype)
            # the separate path is the whole gradient of the threshold
            constant = threshold.detach() if learning.gradient == "separate" else threshold

        def charge(x: Tensor, v: Tensor) -> Tensor:
            h = lif_charge(x, v, self.tau, self.decay_input, self.v_reset or 0.0)
            return h if self.pruning is None else self.pruning(h)

        def fire(h: Tensor) -> Tensor:
            above = distance(h, threshold, learning.gradient, learning.window)
            if self.quant_spec.spike.bits > 1:
                return self.surrogate_function(above, constant)
            return self.surrogate_function(above)

        spike, v = step(
            x,
            states[0],
            charge=charge,
            fire=fire,
            reset=lambda h, s: reset(h, s, constant, self.v_reset, self.detach_reset),
            store=self.membrane,
        )
        if self.quant_spec.spike.value == "threshold":
            spike = spike * constant
        return (spike,), (v, *states[1:])

    def multi_step_functional_forward(
        self, inputs: tuple[Tensor, ...], states: tuple[Any, ...], **kwargs: object
    ) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        """Map (x,) of shape [T, N, ...] and the first (v,) to (spikes,) and the last (v,)."""
        spikes = []
        # unbinding costs one pass in the backward; the host's indexing costs one a step
        for x in inputs[0].unbind():
            (spike,), states = self.single_step_functional_forward((x,), states)
            spikes.append(spike)
        return (torch.stack(spikes),), states

    def multi_step_forward(self, x_seq: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the steps of x_seq [T, N, ...]; what is pruned counts anew."""
        if self.pruning is not None:
            self.pruning.restart()
        return super().multi_step_forward(x_seq, *args, **kwargs)

    def reset(self) -> None:
        """Forget the state, and what was pruned."""
        super().reset()
        if self.pruning is not None:
            self.pruning.restart()

    def extra_repr(self) -> str:
        """Extend the host's line by the time constant."""
        return f"{super().extra_repr()}, tau={self.tau}, decay_input={self.decay_input}"


class TernaryLIFNode(QuantLIFNode):
    """LIF neuron whose membrane is stored as -1, 0 or +1 after each step.

    The neuron of IM-SNN and SpQuant-SNN, as a drop-in for `LIFNode`: hard reset, triangle
    surrogate, and the stacked surrogate gradient through the stored membrane (IM-SNN Eq. 9).
    SpikingJelly has a `TernaryLIFNode` of its own that is something else: it emits ternary spikes.

    Args:
        tau: See `QuantLIFNode`, as for all arguments that are not listed here.
        decay_input: See `QuantLIFNode`.
        v_threshold: See `QuantLIFNode`.
        v_reset: See `QuantLIFNode`.
        surrogate_function: See `QuantLIFNode`; None is the triangle.
        detach_reset: See `QuantLIFNode`.
        step_mode: See `QuantLIFNode`.
        store_v_seq: See `QuantLIFNode`.
        smoothness: T of the stacked surrogate gradient, above 0.
        threshold: Whether the layer's threshold learns. `ThresholdSpec(gradient="separate")` is
            SpQuant-SNN's separate gradient path (Eq. 25-27).
        channels: See `QuantLIFNode`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> node = TernaryLIFNode(step_mode="m", store_v_seq=True)
        >>> node(torch.tensor([[0.75, -2.0], [0.25, 0.5], [0.75, 0.5]]))
        tensor([[0., 0.],
                [0., 0.],
                [1., 0.]])
        >>> node.v_seq
        tensor([[ 1., -1.],
                [ 1.,  0.],
                [ 0.,  0.]])
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
        smoothness: float = 2.0,
        threshold: ThresholdSpec | None = None,
        channels: int | None = None,
    ) -> None:
        spec = QuantSpec(
            membrane=MembraneSpec(smoothness=smoothness),
            spike=SpikeSpec(),
            threshold=threshold or ThresholdSpec(),
        )
        super().__init__(
            tau,
            decay_input,
            v_threshold,
            v_reset,
            surrogate_function,
            detach_reset,
            step_mode,
            store_v_seq,
            spec=spec,
            channels=channels,
        )
