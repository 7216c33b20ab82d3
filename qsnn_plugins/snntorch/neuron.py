"""A neuron with a quantized membrane for snnTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import snntorch
import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentTypeError
from qsnn_plugins.functional.late_reset import keep_comparison
from qsnn_plugins.functional.neuron import leaky_charge
from qsnn_plugins.functional.threshold import per_channel
from qsnn_plugins.nn import (
    Cell,
    KeepsMeans,
    MembranePruning,
    ResetTime,
    Spike,
    StateFacts,
    charges_otherwise,
    initial_threshold,
    membrane_quantizer,
    neuron_facts,
    refuse_jit,
    shown,
    threshold_in_use,
    watch_state,
)
from qsnn_plugins.ops.quantized_lif.neuron import is_hooked, is_kept, run
from qsnn_plugins.presets import resolve
from qsnn_plugins.snntorch.checks import (
    check_all,
    check_flags,
    check_input,
    check_leak,
    check_spec,
    floating,
)
from qsnn_plugins.snntorch.instances import list_weakly
from qsnn_plugins.snntorch.nir import refuse_nir
from qsnn_plugins.spec import QuantSpec, ThresholdSpec

__all__ = ["QuantLeaky"]

_RESET = "qsnn_plugins.snntorch.reset_net(network)"


class QuantLeaky(KeepsMeans, StateFacts, snntorch.Leaky):
    r"""Leaky neuron of snnTorch with a membrane quantized by a `QuantSpec`.

        h[t] = beta m[t-1] + x[t]                    charge
        h[t] ← masked h[t]                           where the spec masks neurons
        s[t] = 1[h[t] > threshold]                   fire, with a surrogate gradient;
                                                     >= where the spec's comparison says so
        m[t] = Q(h[t] - s[t] threshold)              store after the reset ("zero": h (1 - s))

    This is for `reset_delay=False`. With the host's default, `reset_delay=True`, the charged
    membrane itself is stored, and the reset of s[t-1] = 1[m[t-1] > threshold] happens in the next
    step: in h for "subtract", in m[t-1] for "zero". The spike must follow from the stored level, so
    quantization never moves a membrane across the threshold (`keep_comparison`). This needs one
    more code (`storage_bits`), but then m is the only state, also when it is passed and returned.

    Spikes depend on the unquantized h and have the dtype of the input. With
    `QuantSpec.full_precision()`, this neuron equals `snntorch.Leaky` bit for bit. Only then does
    "subtract" with `reset_delay=False` follow the host's rule that a membrane which is still above
    the threshold after its reset must cross twice the threshold to fire.

    Input is one step [N, ...]; `MultiStep` runs [T, N, ...]. The return values are the host's:
    (spk, mem), or spk alone with `init_hidden` and without `output`. Multi-bit spikes count how
    many thresholds fit into h. A learned threshold is kept above 0, and with any quantization its
    gradient is divided as `ThresholdSpec("ordinary")` says, with `learn_threshold` too.

    Args:
        beta: Decay, from 0 to 1, a number or a tensor.
        threshold: Threshold, above 0, a number or a tensor; the initial value of a learned one.
        spike_grad: Surrogate gradient of the host, or None for that of the spec.
        surrogate_disable: See `snntorch.Leaky`, as for all arguments that are not explained here.
        init_hidden: Whether the state is kept inside the neuron and not passed.
        inhibition: Only without quantization.
        learn_beta: Whether beta is a parameter.
        learn_threshold: Whether the threshold is a parameter; set by a learned threshold of the
            spec.
        reset_mechanism: "subtract", "zero" or "none".
        state_quant: Must be False; the spec says how the membrane is stored.
        output: Whether the membrane is also returned with `init_hidden`.
        graded_spikes_factor: Factor of the output spikes.
        learn_graded_spikes_factor: Whether it is a parameter.
        reset_delay: Whether the reset happens one step later.
        spec: How the neuron is quantized: a `QuantSpec`, or anything that `presets.resolve`
            accepts. Its weight part is not used here.
        channels: Channels C of the input [N, C, ...]; needed for learned thresholds per channel.

    Raises:
        ArgumentError: If an argument is not allowed, or `channels` is needed and missing; at a
            forward, if the input is on another device or its shape cannot be right.

    Example:
        >>> lif = QuantLeaky(beta=0.5, reset_delay=False, spec=QuantSpec())
        >>> lif(torch.tensor([[0.75, 1.25, -2.0]]))
        (tensor([[0., 1., 0.]]), tensor([[ 1.,  0., -1.]]))
    """

    mem: Tensor
    _loads_float_state = True
    _repeated_facts = ("reset_mechanism_val",)

    def __init__(
        self,
        beta: Tensor | float,
        threshold: Tensor | float = 1.0,
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: bool = False,
        output: bool = False,
        graded_spikes_factor: Tensor | float = 1.0,
        learn_graded_spikes_factor: bool = False,
        reset_delay: bool = True,
        *,
        spec: QuantSpec | None = None,
        channels: int | None = None,
    ) -> None:
        spec = QuantSpec() if spec is None else resolve(spec)
        check_leak(beta, threshold, reset_mechanism)
        check_flags(
            surrogate_disable=surrogate_disable,
            init_hidden=init_hidden,
            inhibition=inhibition,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            output=output,
            learn_graded_spikes_factor=learn_graded_spikes_factor,
            reset_delay=reset_delay,
        )
        check_all("graded_spikes_factor", graded_spikes_factor, "a finite number", torch.isfinite)
        subtracts_late = reset_delay and reset_mechanism == "subtract"
        check_spec(spec, spike_grad, surrogate_disable, inhibition, state_quant, subtracts_late)
        super().__init__(
            floating(beta),
            floating(initial_threshold(threshold, spec.threshold, channels)),
            Spike.from_spec(spec.spike, fires_at_zero=False) if spike_grad is None else spike_grad,
            surrogate_disable,
            init_hidden,
            inhibition,
            learn_beta,
            learn_threshold or spec.threshold.learned,
            reset_mechanism,
            False,
            output,
            floating(graded_spikes_factor),
            learn_graded_spikes_factor,
            reset_delay,
        )
        list_weakly(self)
        self.quant_spec, self.channels = spec, channels
        self._class_charges_otherwise = charges_otherwise(type(self), "run_fused")
        # asked once: a look at a tensor on a GPU waits. The host subtracts 0 of infinity, a NaN
        self._never_fires = not self.threshold.is_meta and bool(self.threshold.isinf().all())
        if learn_threshold and not spec.threshold.learned:
            spec = replace(spec, threshold=ThresholdSpec("ordinary"))
        self._cell_spec = spec
        self.membrane = membrane_quantizer(spec.membrane)
        self.pruning = MembranePruning(spec.pruning) if spec.pruning.spatial_ratio else None

    def state_facts(self) -> dict[str, Any]:
        """Return what its state dict says of it beside the tensors: spec and reset."""
        named = ("reset_mechanism", "reset_delay", "inhibition")
        return neuron_facts(self, {name: getattr(self, name) for name in named})

    @property
    def storage_bits(self) -> int:
        """Whole bits of one stored membrane, including the additional code of a delayed reset."""
        codes = self.quant_spec.membrane.level_count
        if not codes:
            return 32
        is_late = self.reset_time in ("before_charge", "after_charge")
        return math.ceil(math.log2(codes + is_late))

    @property
    def reset_time(self) -> ResetTime:
        """When a spike resets, as `nn.Cell` takes it."""
        if self.reset_mechanism == "none":
            return "never"
        if not self.reset_delay:
            return "now"
        return "after_charge" if self.reset_mechanism == "subtract" else "before_charge"

    @property
    def _v_reset(self) -> float | None:
        return None if self.reset_mechanism == "subtract" else 0.0

    @property
    def _charges_otherwise(self) -> bool:
        return self._class_charges_otherwise or "charge" in self.__dict__

    @property
    def _runs_host_steps(self) -> bool:
        is_replaced = not is_kept(self.membrane) or self.pruning is not None
        is_replaced |= self._never_fires and self.reset_mechanism == "subtract"
        return self.quant_spec.is_plain and not (is_replaced or self._charges_otherwise)

    def charge(self, x: Tensor, m: Tensor) -> Tensor:
        """Return `functional.leaky_charge` of x and the stored m, each of shape [N, ...]."""
        return leaky_charge(x, m, self.beta.to(x.dtype).clamp(0, 1))

    def forward(self, input_: Tensor, mem: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Run one step over `input_` [N, ...] from `mem`, or from the state that was kept."""
        refuse_jit(self)
        check_input(input_, self.mem if mem is None else mem, self.beta.device, self.channels)
        if self.init_hidden and mem is not None:
            raise ArgumentTypeError("mem", list(mem.shape), "None where init_hidden=True")
        if self._runs_host_steps:
            # spikes of the host's surrogates are float32 whatever goes in
            result = super().forward(input_, mem)
            if is_hooked(self.membrane):  # a look at a membrane does not change the steps
                self.mem = self.membrane(self.mem)
            if self.keeps_means:
                self.note_states(self.mem, is_sequence=False)
            if isinstance(result, tuple):
                return result[0].to(input_.dtype), self.mem
            return result.to(input_.dtype)
        refuse_nir(self)
        if mem is not None:
            self.mem = mem
        if self.mem.shape != input_.shape:
            self.mem = torch.zeros_like(input_)
        watch_state(self.mem, _RESET)
        m = self.cast_membrane(self.mem, input_.dtype)
        spike, self.mem = self._cell(input_).step(input_, m)
        if self.keeps_means:
            self.note_states(self.mem, is_sequence=False)
        spike = spike * self.graded_spikes_factor.to(spike.dtype)
        return (spike, self.mem) if self.output or not self.init_hidden else spike

    def _cell(self, x: Tensor) -> Cell:
        """Return the neuron's step on inputs like x [N, ...]."""
        return Cell(
            spec=self._cell_spec,
            threshold=self._threshold(x.shape, x.dtype),
            charge=self.charge,
            fire=self.spike_grad,
            store=self.membrane,
            mask=self.pruning,
            v_reset=self._v_reset,
            reset_time=self.reset_time,
        )

    def _threshold(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Return the threshold as it is used on a membrane of shape [N, ...]."""
        threshold, learning = self.threshold.to(dtype), self._cell_spec.threshold
        if isinstance(self.threshold, nn.Parameter):
            threshold = threshold_in_use(threshold, self._cell_spec, shape)
        return per_channel(threshold, len(shape)) if learning.per == "channel" else threshold

    def cast_membrane(self, mem: Tensor, dtype: torch.dtype) -> Tensor:
        """Return a stored membrane [N, ...] in another dtype, which tells a late reset the same."""
        if mem.dtype == dtype or self.reset_time not in ("before_charge", "after_charge"):
            return mem.to(dtype)
        threshold = self._threshold(mem.shape, mem.dtype).detach()
        return keep_comparison(mem.to(dtype), mem > threshold, threshold.to(dtype))

    def run_fused(self, x_seq: Tensor) -> Tensor | None:
        """Run the steps of x_seq [T, N, ...] as one operator where it covers the neuron.

        Returns:
            Spikes [T, N, ...], or None: nothing was run.
        """
        sends_spikes_alone = self.init_hidden and not self.output
        runs_otherwise = self._runs_host_steps or self._charges_otherwise or is_hooked(self)
        if runs_otherwise or not sends_spikes_alone:
            return None
        refuse_jit(self)
        refuse_nir(self)
        check_input(x_seq[0], self.mem, self.beta.device, self.channels)
        watch_state(self.mem, _RESET)
        # a state of 16 bits would round V_th⁺, the code of what has fired, to V_th
        shape, dtype = x_seq.shape[1:], torch.promote_types(x_seq.dtype, torch.float32)
        if self.mem.shape == shape:
            m = self.cast_membrane(self.mem, dtype)
        else:
            m = x_seq.new_zeros((), dtype=dtype).expand(shape)
        result = run(
            x_seq,
            m,
            self._threshold(shape, dtype),
            self._cell_spec,
            self.spike_grad,
            self.membrane,
            decay=self.beta.clamp(0, 1),
            pruning=self.pruning,
            returns_states=self.keeps_means,
            v_reset=self._v_reset,
            resets=self.reset_mechanism != "none",
            reset_is_late=self.reset_delay,
        )
        if result is None:
            return None
        spikes, self.mem, mem_seq = result
        if mem_seq is not None:
            self.note_states(mem_seq, is_sequence=True)
        return spikes * self.graded_spikes_factor.to(spikes.dtype)

    def reset_mem(self) -> Tensor:
        """Forget the state, and what was pruned; return the zero state."""
        self.stored_means = None
        if self.pruning is not None:
            self.pruning.restart()
        return super().reset_mem()

    def extra_repr(self) -> str:
        """Name what the host's arguments say."""
        return (
            f"beta={shown(self.beta)}, reset={self.reset_mechanism}, reset_delay={self.reset_delay}"
        )
