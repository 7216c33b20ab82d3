"""The quantized LIF neuron as a loop over `nn.Cell`: the definition of correct."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.functional.membrane.uniform import average_scale, step_max, uniform_membrane
from qsnn_plugins.functional.neuron import if_charge, leaky_charge, lif_charge, plif_charge
from qsnn_plugins.functional.pruning import prune_membrane
from qsnn_plugins.functional.scale import wide
from qsnn_plugins.nn import Cell, ResetTime, Spike, membrane_quantizer
from qsnn_plugins.ops.quantized_lif.parameters import Parameters
from qsnn_plugins.spec import PruningSpec, QuantSpec

__all__ = ["quantized_lif"]


def quantized_lif(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    parameters: Parameters,
    scale: Tensor | None = None,
    initialized: Tensor | None = None,
    decay: Tensor | None = None,
    run: Callable[..., tuple[Tensor, Tensor]] = Cell.run,
) -> tuple[Tensor, ...]:
    """Spikes, the last stored membrane and what was measured; see `ops.quantized_lif`.

    16-bit input is computed in float32: nothing is rounded before it is compared.

    Args:
        x_seq: Input currents, shape [T, N, ...].
        v: Stored membrane before the first step, shape [N, ...] or [].
        threshold: V_th, shape [] or one that broadcasts to [N, ...].
        parameters: The neuron.
        scale: Scale of a "uniform" membrane, shape [].
        initialized: Whether a running scale is an average already, shape [].
        decay: Decay of a neuron that has one, shape []; as used it lies from 0 to 1. The rate
            1 / tau where `parameters.has_rate`.
        run: Runs the steps; `compiled` gives one of its own.

    Returns:
        Spikes [T, N, ...] of x_seq's dtype, the membrane [N, ...] of v's, of each step max|r| or
        the share that it masked, [T], or [0], and the average of the maxima with whether it is one,
        [2], or [0] where nothing is measured. Where `parameters.returns_states` the stored
        membranes come behind, float32 or float64 of shape [T, N, ...], without a gradient.

    Example:
        >>> x_seq, v = torch.full((3, 1), 0.75), torch.zeros(1)
        >>> one = torch.tensor(1.0)
        >>> spikes, last, *_ = quantized_lif(x_seq, v, one, Parameters())
        >>> spikes.flatten(), last
        (tensor([0., 1., 0.]), tensor([1.]))
    """
    shares: list[Tensor] = []
    pruning = parameters.pruning or PruningSpec()

    def mask(h: Tensor, rest: Tensor | float) -> Tensor:
        masked, share = prune_membrane(h, rest, pruning.spatial_ratio, pruning.block)
        shares.append(share)
        return masked

    currents, p = wide(x_seq), parameters
    states: list[Tensor] | None = [] if p.returns_states else None
    uniform = _UniformStore(p, scale, initialized) if p.has_scale else None
    cell = Cell(
        spec=QuantSpec(p.membrane, p.spike, p.threshold, pruning=pruning),
        threshold=threshold.to(currents.dtype),
        charge=_charge(p, None if decay is None else decay.to(currents.dtype)),
        fire=Spike.from_spec(p.spike, p.fires_at_threshold),
        store=uniform or membrane_quantizer(p.membrane),
        mask=mask if p.prunes else None,
        v_reset=p.v_reset,
        reset_time=_reset_time(p),
        detach_reset=p.detach_reset,
    )
    first = v.to(currents.dtype).expand(x_seq.shape[1:])
    spikes, last = run(cell, currents, first, states)
    measured = (uniform.maxima if uniform else []) or shares
    statistics = torch.stack(measured).float() if measured else x_seq.new_empty(0).float()
    average = uniform.average() if uniform else statistics.new_empty(0)
    results = spikes.to(x_seq.dtype), last.to(v.dtype), statistics, average
    return results if states is None else (*results, torch.stack(states))


def _charge(p: Parameters, decay: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
    if decay is not None and p.has_rate:
        return partial(plif_charge, decay=decay, decay_input=p.decay_input, v_rest=p.resting)
    if decay is not None:
        return partial(leaky_charge, beta=decay.clamp(0, 1))
    if p.tau is None:
        return if_charge
    return partial(lif_charge, tau=p.tau, decay_input=p.decay_input, v_rest=p.resting)


def _reset_time(p: Parameters) -> ResetTime:
    if not p.resets:
        return "never"
    if not p.reset_is_late:
        return "now"
    return "after_charge" if p.v_reset is None else "before_charge"


class _UniformStore:
    """Membrane of k bits whose scale may be measured and goes on from step to step."""

    def __init__(self, parameters: Parameters, scale: Any, initialized: Any) -> None:
        self.parameters, self.scale, self.initialized = parameters, scale, initialized
        self.maxima: list[Tensor] = []

    def __call__(self, r: Tensor) -> Tensor:
        m = self.parameters.membrane
        shape = (m.surrogate, m.smoothness) if m.gradient == "stacked" else ()
        return uniform_membrane(r, self._scale_of(r), m.bits, m.gradient, *shape)

    def _scale_of(self, r: Tensor) -> Tensor:
        if not self.parameters.measures:
            return self.scale
        self.maxima.append(step_max(r))
        greatest = self.maxima[-1].to(self.scale.dtype)
        given = self.scale, self.initialized, greatest
        self.scale, self.initialized = average_scale(
            *given, self.parameters.membrane.momentum or 0.0
        )
        return self.maxima[-1] if self.parameters.scale == "step_max" else self.scale

    def average(self) -> Tensor:
        """Return the average after the last step, and whether it is one, [2]; or [0]."""
        if not self.parameters.measures:
            return self.scale.new_empty(0)
        return torch.stack([self.scale, self.initialized.to(self.scale.dtype)])
