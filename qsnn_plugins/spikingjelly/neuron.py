"""Neurons with quantized membranes, native in SpikingJelly."""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.neuron import lif_charge, reset, step
from qsnn_plugins.functional.threshold import distance, keep_positive
from qsnn_plugins.nn import Spike, membrane_quantizer
from qsnn_plugins.spec import MembraneSpec, QuantSpec, SpikeSpec, ThresholdSpec

__all__ = ["QuantLIFNode", "TernaryLIFNode"]


class QuantLIFNode(neuron.BaseNode):
    r"""LIF neuron of SpikingJelly whose membrane is stored as a `QuantSpec` says.

        h[t] = v[t-1] - (v[t-1] - v_reset) / tau + x[t]     charge (decay_input=False)
        s[t] = 1[h[t] >= v_threshold]                       fire, with a surrogate gradient
        r[t] = s[t] v_reset + (1 - s[t]) h[t]               reset (hard; soft where v_reset=None)
        v[t] = Q(r[t])                                      store

    Input is [N, ...] in single-step mode and [T, N, ...] in multi-step mode; spikes have the same
    shape, and `v` holds the stored membrane [N, ...]. The defaults of `tau` and `decay_input` are
    the papers' u[t] = 0.5 u[t-1] + x[t].

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

    Raises:
        ArgumentError: If `tau` or `v_threshold` is not allowed.

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
    ) -> None:
        if not tau > 1:
            raise ArgumentError("tau", tau, "a number above 1")
        if not v_threshold > 0:
            raise ArgumentError("v_threshold", v_threshold, "a number above 0")
        spec = spec or QuantSpec()
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
        if spec.threshold.learned:
            self.v_threshold: Any = nn.Parameter(torch.tensor(float(v_threshold)))

    def single_step_functional_forward(
        self, inputs: tuple[Tensor, ...], states: tuple[Any, ...], **kwargs: object
    ) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        """Map (x,) and (v,) of one step to (spikes,) and the new (v,), each of shape [N, ...]."""
        threshold = self.v_threshold
        if isinstance(threshold, Tensor):
            threshold = keep_positive(threshold)
        learning = self.quant_spec.threshold
        # the separate path is the whole gradient of the threshold: the soft reset adds none
        is_separate = isinstance(threshold, Tensor) and learning.gradient == "separate"
        subtracted = threshold.detach() if is_separate else threshold
        spike, v = step(
            inputs[0],
            states[0],
            charge=lambda x, v: lif_charge(x, v, self.tau, self.decay_input, self.v_reset or 0.0),
            fire=lambda h: self.surrogate_function(
                distance(h, threshold, learning.gradient, learning.window)
            ),
            reset=lambda h, s: reset(h, s, subtracted, self.v_reset, self.detach_reset),
            store=self.membrane,
        )
        return (spike,), (v, *states[1:])

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
        )
