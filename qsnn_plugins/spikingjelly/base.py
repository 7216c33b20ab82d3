"""Base of all neurons here: the step of `nn.Cell` with the interface of SpikingJelly."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import wide
from qsnn_plugins.functional.spike import check_counts
from qsnn_plugins.functional.threshold import per_channel
from qsnn_plugins.nn import (
    Cell,
    KeepsMeans,
    MembranePruning,
    Spike,
    StateFacts,
    charges_otherwise,
    check_comparison,
    initial_threshold,
    membrane_quantizer,
    neuron_facts,
    threshold_in_use,
    watch_state,
)
from qsnn_plugins.ops.quantized_lif.neuron import is_hooked, is_kept, run
from qsnn_plugins.presets import resolve
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spec.checks import boolean
from qsnn_plugins.spikingjelly.checks import (
    check_above,
    check_input,
    check_surrogate,
    check_v_reset,
    float_input,
)
from qsnn_plugins.spikingjelly.legacy import IS_LEGACY, BaseNode

__all__ = ["QuantNode"]


def _is_counted() -> bool:
    """Whether one of the host's counters looks at each operation, of which a kernel shows none."""
    if torch.compiler.is_compiling():
        return False
    modes = torch.utils._python_dispatch._get_current_dispatch_mode_stack()
    return any(type(mode).__name__ == "DispatchCounterMode" for mode in modes)


class QuantNode(KeepsMeans, StateFacts, BaseNode):
    """Neuron of SpikingJelly with a membrane quantized by a `QuantSpec`.

    Subclasses define how a membrane charges; the rest is `nn.Cell` for all of them. See
    `QuantLIFNode` for the equations and the arguments. If a spec quantizes nothing, the steps are
    those of the host.

    Raises:
        ArgumentError: If an argument is not allowed, or an input does not fit the neuron.

    Example:
        >>> from qsnn_plugins.spikingjelly import QuantIFNode
        >>> isinstance(QuantIFNode(), QuantNode)
        True
    """

    v: Any
    v_threshold: Any
    _loads_float_state = True

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
        check_above("v_threshold", v_threshold, 0)
        check_v_reset(v_reset)
        boolean("detach_reset", detach_reset)
        boolean("store_v_seq", store_v_seq)
        check_surrogate(surrogate_function)
        spec = QuantSpec() if spec is None else resolve(spec)
        if surrogate_function is not None and spec.spike.bits > 1:
            allowed = f"None: spikes of {spec.spike.bits} bits have a gradient of their own"
            raise ArgumentError("surrogate_function", surrogate_function, allowed)
        check_comparison("surrogate_function", surrogate_function, spec.spike, host=True)
        super().__init__(
            v_threshold=float(v_threshold),
            v_reset=None if v_reset is None else float(v_reset),
            surrogate_function=surrogate_function or Spike.from_spec(spec.spike),
            detach_reset=detach_reset,
            step_mode=step_mode,
            store_v_seq=store_v_seq,
        )
        self.quant_spec, self.channels = spec, channels
        self._class_charges_otherwise = charges_otherwise(type(self), "fused_leak")
        self.membrane = membrane_quantizer(spec.membrane)
        self.pruning = MembranePruning(spec.pruning) if spec.pruning.spatial_ratio else None
        first = initial_threshold(float(v_threshold), spec.threshold, channels)
        if spec.threshold.learned:
            self.v_threshold = nn.Parameter(torch.as_tensor(first))

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        """Return the charged membrane h of x and the stored v, each of shape [N, ...].

        Each class of neurons has its own.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it charges")

    def fused_leak(self) -> dict[str, Any] | None:
        """Return the leak as arguments of `ops.quantized_lif.Parameters`, or None: no kernel's."""
        return None

    def host_steps(self, x_seq: Tensor, v: Tensor, store_v_seq: bool) -> tuple[Any, ...]:
        """Run the host's own steps: spikes [T, N, ...], the last v, all v or None.

        A class that can be free of quantization has its own.
        """
        raise NotImplementedError(f"{type(self).__name__} names no steps of the host's")

    def state_facts(self) -> dict[str, Any]:
        """Return what its state dict says of it beside the tensors: spec, leak and reset."""
        named = ("v_threshold", "v_reset", "tau", "decay_input")
        return neuron_facts(self, {name: getattr(self, name, None) for name in named})

    @property
    def _charges_otherwise(self) -> bool:
        return self._class_charges_otherwise or "charge" in self.__dict__

    @property
    def _runs_host_steps(self) -> bool:
        # the host's steps run all at once, and would pass over a hook
        is_seen = not is_kept(self.membrane) or is_hooked(self.membrane)
        is_replaced = is_seen or self.pruning is not None
        if is_replaced or self._charges_otherwise or IS_LEGACY or not self.quant_spec.is_plain:
            return False
        # of a neuron that never fires the host subtracts 0 of infinity, a NaN
        is_number = not isinstance(self.v_threshold, Tensor)
        return not (self.v_reset is None and is_number and self.v_threshold == math.inf)

    def _threshold(self, shape: torch.Size) -> Tensor | float:
        """Return the threshold as it is used on a membrane of shape [N, ...]."""
        if isinstance(self.v_threshold, Tensor):
            threshold = threshold_in_use(self.v_threshold, self.quant_spec, shape)
            return per_channel(threshold, len(shape))
        return self.v_threshold

    def _cell(self, x: Tensor) -> Cell:
        """Return the neuron's step on inputs like x [N, ...]."""
        threshold = self._threshold(x.shape)
        return Cell(
            spec=self.quant_spec,
            threshold=threshold.to(x.dtype) if isinstance(threshold, Tensor) else threshold,
            charge=self.charge,
            fire=self.surrogate_function,
            store=self.membrane,
            mask=self.pruning,
            v_reset=self.v_reset,
            detach_reset=self.detach_reset,
        )

    def single_step_functional_forward(
        self, inputs: tuple[Tensor, ...], states: tuple[Any, ...], **kwargs: object
    ) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        """Map (x,) and (v,) of one step to (spikes,) and the new (v,), each of shape [N, ...]."""
        x, (v, *others) = inputs[0], states
        if self._runs_host_steps and x.dim() > 0:
            (spike,), v, _ = self.host_steps(x.unsqueeze(0), v, False)
        else:
            spike, v = self._cell(x).step(x, v)
        return (spike,), (v, *others)

    def multi_step_functional_forward(
        self, inputs: tuple[Tensor, ...], states: tuple[Any, ...], **kwargs: object
    ) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        """Map (x,) of shape [T, N, ...] and the first (v,) to (spikes,) and the last (v,).

        One operator runs all steps where it covers the neuron.
        """
        x_seq, (v, *others) = inputs[0], states
        check_counts(self.quant_spec.spike.bits, x_seq.dtype)
        whole = self._run_fused(x_seq, v)
        if whole is None and self._runs_host_steps:
            whole = self.host_steps(x_seq, v, self.keeps_means)
        if whole is not None:
            spike_seq, v, v_seq = whole
            return self._noted((spike_seq,), (v, *others), v_seq)
        spikes, stored = [], []
        # as in the kernels nothing of 16 bits is rounded between steps
        states = wide(v), *others
        # unbinding costs one pass in the backward; the host's indexing costs one per step
        for x in wide(x_seq).unbind():
            (spike,), states = self.single_step_functional_forward((x,), states)
            spikes.append(spike)
            stored.append(states[0])
        spike_seq, states = torch.stack(spikes).to(x_seq.dtype), (states[0].to(v.dtype), *others)
        return self._noted((spike_seq,), states, stored)

    def _noted(self, outputs: Any, states: Any, v_seq: Any) -> tuple[Any, Any]:
        """Return outputs and states of a sequence, once a gate's means are taken of all v."""
        if self.keeps_means:
            v_seq = torch.stack([v.detach() for v in v_seq]) if isinstance(v_seq, list) else v_seq
            self.note_states(v_seq, is_sequence=True)
        return outputs, states

    def single_step_forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run one step over x [N, ...]."""
        spike = super().single_step_forward(float_input(x), *args, **kwargs)
        if self.keeps_means:
            self.note_states(self.v, is_sequence=False)
        return spike

    def _run_fused(self, x_seq: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None] | None:
        leak = self.fused_leak()
        if leak is None or self._charges_otherwise or _is_counted():
            return None
        return run(
            x_seq,
            v,
            self._threshold(v.shape),
            self.quant_spec,
            self.surrogate_function,
            self.membrane,
            pruning=self.pruning,
            returns_states=self.keeps_means,
            v_reset=self.v_reset,
            detach_reset=self.detach_reset,
            **leak,
        )

    def multi_step_forward(self, x_seq: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the steps of x_seq [T, N, ...]; what is pruned counts anew."""
        x_seq = float_input(x_seq)
        if self.pruning is not None:
            self.pruning.restart()
        if self._runs_host_steps and self.store_v_seq:
            (v,) = self.materialize_states((x_seq,), (self.v,), "m")
            spike_seq, self.v, self.v_seq = self.host_steps(x_seq, v, True)
        elif self.store_v_seq:
            check_counts(self.quant_spec.spike.bits, x_seq.dtype)
            # nothing is rounded between steps here either
            spike_seq = super().multi_step_forward(wide(x_seq), *args, **kwargs).to(x_seq.dtype)
            self.v, self.v_seq = self.v.to(x_seq.dtype), self.v_seq.to(x_seq.dtype)
        else:
            spike_seq = super().multi_step_forward(x_seq, *args, **kwargs)
        if self.keeps_means and self.store_v_seq:
            self.note_states(self.v_seq, is_sequence=True)
        return spike_seq

    def materialize_states(
        self, inputs: tuple[Tensor, ...], states: tuple[Any, ...], step_mode: str
    ) -> tuple[Any, ...]:
        """Give the states the input's shape as the host does, once the input is found to fit."""
        check_input(self, inputs[0], states[0], step_mode)
        v, *others = super().materialize_states(inputs, states, step_mode)
        if isinstance(states[0], float) and step_mode == "m" and not _is_counted():
            # one value for all neurons costs a kernel's backward nothing
            v = v.new_full((), states[0]).expand(v.shape)
        watch_state(v, "functional.reset_net(network) of SpikingJelly")
        return (v, *others)

    def reset(self) -> None:
        """Forget the state, and what was pruned."""
        super().reset()
        self.stored_means = None
        if self.pruning is not None:
            self.pruning.restart()
