"""What every neuron here has in common: one step, as a spec describes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.functional.neuron import reset, step
from qsnn_plugins.functional.threshold import distance, keep_positive, per_channel
from qsnn_plugins.nn import MembranePruning, Spike, membrane_quantizer
from qsnn_plugins.ops.quantized_lif.neuron import run
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spikingjelly.legacy import IS_LEGACY, BaseNode

__all__ = ["QuantNode"]


class QuantNode(BaseNode):
    """Neuron of SpikingJelly whose membrane is stored as a `QuantSpec` says.

    Its classes say how a membrane charges. The rest is one step for all of them; see
    `QuantLIFNode` for the equations and the arguments. Where a spec quantizes nothing, the steps
    are the host's own.

    Raises:
        ArgumentError: If an argument is not allowed, or an input does not fit the neuron.

    Example:
        >>> from qsnn_plugins.spikingjelly import QuantIFNode
        >>> isinstance(QuantIFNode(), QuantNode)
        True
    """

    v: Any

    def __init__(
        self,
        v_threshold: float,
        v_reset: float | None,
        surrogate_function: nn.Module | None,
        detach_reset: bool,
        step_mode: str,
        store_v_seq: bool,
        spec: QuantSpec | None,
        channels: int | None,
    ) -> None:
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
        self.quant_spec, self.channels = spec, channels
        self.membrane = membrane_quantizer(spec.membrane)
        self.pruning = MembranePruning(spec.pruning, channels) if spec.pruning.prunes else None
        if spec.threshold.learned:
            shape = self._threshold_shape(channels)
            self.v_threshold: Any = nn.Parameter(torch.full(shape, float(v_threshold)))
        parts = (spec.membrane.kind, spec.spike.bits, spec.spike.value, spec.threshold.learned)
        self.is_plain = parts == ("float", 1, "count", False) and not spec.pruning.prunes

    def _threshold_shape(self, channels: int | None) -> tuple[int, ...]:
        if self.quant_spec.threshold.per == "layer":
            return ()
        if channels is None or channels < 1:
            raise ArgumentError("channels", channels, "an integer from 1: one threshold a channel")
        return (channels,)

    def _threshold(self, dim: int) -> Tensor | float:
        """Return the threshold as it is used on a membrane [N, ...] of so many dimensions."""
        if isinstance(self.v_threshold, Tensor):
            return per_channel(keep_positive(self.v_threshold), dim)
        return self.v_threshold

    def fused_leak(self) -> dict[str, Any] | None:
        """Return the leak as arguments of `ops.quantized_lif.Parameters`, or None: no kernel's."""
        return None

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        """Return the charged membrane h of x and the stored v, each of shape [N, ...].

        Each class of neurons has its own.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it charges")

    def host_steps(self, x_seq: Tensor, v: Tensor, store_v_seq: bool) -> tuple[Any, ...]:
        """Run the host's own steps: spikes [T, N, ...], the last v, all v or None.

        A class that can be free of quantization has its own.
        """
        raise NotImplementedError(f"{type(self).__name__} names no steps of the host's")

    def materialize_states(
        self, inputs: tuple[Tensor, ...], states: tuple[Any, ...], step_mode: str
    ) -> tuple[Any, ...]:
        """Give the states the input's shape as the host does, once the input is found to fit."""
        self._check_input(inputs[0], states[0], step_mode)
        v, *rest = super().materialize_states(inputs, states, step_mode)
        if isinstance(states[0], float) and step_mode == "m":
            # one value for all neurons costs a kernel's backward nothing
            v = v.new_full((), states[0]).expand(v.shape)
        return (v, *rest)

    def _check_input(self, x: Tensor, v: Tensor | float, step_mode: str) -> None:
        if isinstance(x, fx.Proxy):  # NIR export, among others, takes modules apart so
            raise QSNNError(
                f"{type(self).__name__} cannot be traced symbolically: an export would lose its "
                "quantization without a word; qsnn_plugins.spikingjelly.eject gives the host's "
                "neurons back where that is meant"
            )
        shape, steps = tuple(x.shape), 1 if step_mode == "m" else 0
        if steps and (x.dim() < 2 or x.shape[0] < 1):
            allowed = "[T, N, ...] with T >= 1 where step_mode='m'; step_mode='s' takes one step"
            raise ArgumentError("x.shape", shape, allowed)
        if isinstance(v, Tensor) and v.dim() != x.dim() - steps:
            allowed = (
                f"{v.dim() + steps} dimensions where step_mode={step_mode!r}, as before: "
                "[T, N, ...] needs step_mode='m', one step [N, ...] needs 's', and a change of "
                "dimensions functional.reset_net before"
            )
            raise ArgumentError("x.shape", shape, allowed)
        if self.channels is not None and shape[1 + steps : 2 + steps] != (self.channels,):
            raise ArgumentError("x.shape", shape, f"{self.channels} channels in place {1 + steps}")
        for own in (self.v_threshold, getattr(self.membrane, "scale", None)):
            if isinstance(own, Tensor) and own.device != x.device:
                allowed = f"{own.device}, where the neuron is; network.to(device) moves it"
                raise ArgumentError("x.device", str(x.device), allowed)

    def single_step_functional_forward(
        self, inputs: tuple[Tensor, ...], states: tuple[Any, ...], **kwargs: object
    ) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        """Map (x,) and (v,) of one step to (spikes,) and the new (v,), each of shape [N, ...]."""
        x = inputs[0]
        if self.is_plain and not IS_LEGACY and x.dim() > 0:
            spikes, v, _ = self.host_steps(x.unsqueeze(0), states[0], False)
            return (spikes[0],), (v, *states[1:])
        learning = self.quant_spec.threshold
        threshold = constant = self._threshold(x.dim())
        if isinstance(threshold, Tensor):
            threshold = threshold.to(x.dtype)
            # the separate path is the whole gradient of the threshold
            constant = threshold.detach() if learning.gradient == "separate" else threshold

        def charge(x: Tensor, v: Tensor) -> Tensor:
            h = self.charge(x, v)
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
        """Map (x,) of shape [T, N, ...] and the first (v,) to (spikes,) and the last (v,).

        One operator runs all steps where it covers the neuron.
        """
        if self.is_plain and not IS_LEGACY:
            spike_seq, v, _ = self.host_steps(inputs[0], states[0], False)
            return (spike_seq,), (v, *states[1:])
        fused = self._run_fused(inputs[0], states[0])
        if fused is not None:
            return (fused[0],), (fused[1], *states[1:])
        spikes = []
        # unbinding costs one pass in the backward; the host's indexing costs one a step
        for x in inputs[0].unbind():
            (spike,), states = self.single_step_functional_forward((x,), states)
            spikes.append(spike)
        return (torch.stack(spikes),), states

    def _run_fused(self, x_seq: Tensor, v: Tensor) -> tuple[Tensor, Tensor] | None:
        leak = self.fused_leak()
        if leak is None:
            return None
        parts = self.quant_spec, self.surrogate_function, self.membrane
        conventions = {"v_reset": self.v_reset, "detach_reset": self.detach_reset, **leak}
        threshold = self._threshold(v.dim())
        return run(x_seq, v, threshold, *parts, pruning=self.pruning, **conventions)

    def multi_step_forward(self, x_seq: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the steps of x_seq [T, N, ...]; what is pruned counts anew."""
        if self.pruning is not None:
            self.pruning.restart()
        if self.is_plain and self.store_v_seq and not IS_LEGACY:
            (v,) = self.materialize_states((x_seq,), (self.v,), "m")
            spike_seq, self.v, self.v_seq = self.host_steps(x_seq, v, True)
            return spike_seq
        return super().multi_step_forward(x_seq, *args, **kwargs)

    def reset(self) -> None:
        """Forget the state, and what was pruned."""
        super().reset()
        if self.pruning is not None:
            self.pruning.restart()
