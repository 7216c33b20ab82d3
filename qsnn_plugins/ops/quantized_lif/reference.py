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

__all__ = ["masked_lif", "quantized_lif"]


def quantized_lif(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    parameters: Parameters,
    scale: Tensor | None = None,
    has_seen: Tensor | None = None,
    decay: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, the last stored membrane and the steps' maxima; see `ops.quantized_lif`.

    16-bit input is computed in float32: nothing is rounded before it is compared.

    Args:
        x_seq: Input currents, shape [T, N, ...].
        v: Stored membrane before the first step, shape [N, ...] or [].
        threshold: V_th, shape [] or one that broadcasts to [N, ...].
        parameters: The neuron.
        scale: Scale of a "uniform" membrane, shape [].
        has_seen: Whether a running scale is an average already, shape [].
        decay: Decay of a neuron that has one, shape []; as used it lies from 0 to 1. The rate
            1 / tau where `parameters.has_rate`.

    Returns:
        Spikes [T, N, ...] of x_seq's dtype, the membrane [N, ...] of v's, and max|r| of each step,
        [T], or [0] where no scale is measured.

    Example:
        >>> x_seq, v = torch.full((3, 1), 0.75), torch.zeros(1)
        >>> one = torch.tensor(1.0)
        >>> spikes, last, _ = quantized_lif(x_seq, v, one, Parameters())
        >>> spikes.flatten(), last
        (tensor([0., 1., 0.]), tensor([1.]))
    """
    store = _UniformStore(parameters, scale, has_seen) if parameters.has_scale else None
    spikes, last = _run(x_seq, v, threshold, parameters, store, decay)
    maxima = torch.stack(store.maxima) if store and store.maxima else x_seq.new_empty(0)
    return spikes, last, maxima.float()


def masked_lif(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    parameters: Parameters,
    pruning: PruningSpec,
    predictor: tuple[Tensor, Tensor | None] | None = None,
    scale: Tensor | None = None,
    decay: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, the last stored membrane and what each step masked; see `ops.masked_lif`.

    Args:
        x_seq: Input currents, shape [T, N, C, ...].
        v: Stored membrane before the first step, shape [N, C, ...] or [].
        threshold: V_th, shape [] or one that broadcasts to [N, C, ...].
        parameters: The neuron.
        pruning: What is masked.
        predictor: Weight [C, C] and bias [C] that score the channels, where they are masked.
        scale: Scale of a "uniform" membrane, shape [].
        decay: Decay of a neuron that has one, shape [].

    Returns:
        Spikes [T, N, C, ...], the membrane [N, C, ...], and the shares that each step masked:
        neurons by the spatial mask, channels, neurons by either, shape [T, 3].

    Example:
        >>> x_seq, one = torch.tensor([[[0.75, 1.5, -0.5, 2.0]]]), torch.tensor(1.0)
        >>> pruning = PruningSpec(spatial_ratio=0.5)
        >>> masked_lif(x_seq, torch.tensor(0.0), one, Parameters(), pruning)[1:]
        (tensor([[0., 0., 0., 0.]]), tensor([[0.5000, 0.0000, 0.5000]]))
    """
    shares = []

    def mask(h: Tensor) -> Tensor:
        how = pruning.channel_threshold, pruning.channel_softmax
        masked, share = prune_membrane(h, pruning.spatial_ratio, pruning.block, predictor, *how)
        shares.append(share)
        return masked

    store = _UniformStore(parameters, scale, None) if parameters.has_scale else None
    spikes, last = _run(x_seq, v, threshold, parameters, store, decay, mask)
    return spikes, last, torch.stack(shares)


def _run(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    parameters: Parameters,
    store: Callable[[Tensor], Tensor] | None,
    decay: Tensor | None,
    mask: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Run the neuron's cell over the steps, in float32 at least."""
    currents, p = wide(x_seq), parameters
    cell = Cell(
        spec=QuantSpec(p.membrane, p.spike, p.threshold),
        threshold=threshold.to(currents.dtype),
        charge=_charge(p, None if decay is None else decay.to(currents.dtype)),
        fire=Spike.from_spec(p.spike, p.fires_at_threshold),
        store=store or membrane_quantizer(p.membrane),
        mask=mask,
        v_reset=p.v_reset,
        reset_time=_reset_time(p),
        detach_reset=p.detach_reset,
    )
    spikes, last = cell.run(currents, v.to(currents.dtype).expand(x_seq.shape[1:]))
    return spikes.to(x_seq.dtype), last.to(v.dtype)


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

    def __init__(self, parameters: Parameters, scale: Any, has_seen: Any) -> None:
        self.parameters, self.scale, self.has_seen = parameters, scale, has_seen
        self.maxima: list[Tensor] = []

    def __call__(self, r: Tensor) -> Tensor:
        m = self.parameters.membrane
        shape = (m.surrogate, m.smoothness) if m.gradient == "stacked" else ()
        return uniform_membrane(r, self._scale_of(r), m.bits, m.gradient, *shape)

    def _scale_of(self, r: Tensor) -> Tensor:
        if not self.parameters.measures:
            return self.scale
        self.maxima.append(step_max(r))
        if self.parameters.scale == "step_max":
            return self.maxima[-1]
        greatest, momentum = self.maxima[-1].to(self.scale.dtype), self.parameters.membrane.momentum
        self.scale, self.has_seen = average_scale(self.scale, self.has_seen, greatest, momentum)
        return self.scale
