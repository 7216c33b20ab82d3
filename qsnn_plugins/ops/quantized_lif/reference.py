"""The quantized LIF neuron as a loop over `qsnn_plugins.functional`: the definition of correct."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qsnn_plugins.functional.late_reset import keep_comparison
from qsnn_plugins.functional.membrane.levels import clip_membrane, nearest_level, pruned_level
from qsnn_plugins.functional.membrane.uniform import average_scale, step_max, uniform_membrane
from qsnn_plugins.functional.neuron import lif_charge, plif_charge, reset
from qsnn_plugins.functional.pruning import prune_membrane
from qsnn_plugins.functional.scale import wide
from qsnn_plugins.functional.spike import heaviside, multi_bit_spike
from qsnn_plugins.functional.threshold import distance
from qsnn_plugins.ops.quantized_lif.parameters import Parameters
from qsnn_plugins.spec import PruningSpec

__all__ = ["quantized_lif"]


def quantized_lif(
    x_seq: Tensor,
    v: Tensor,
    threshold: Tensor,
    parameters: Parameters,
    scale: Tensor | None = None,
    initialized: Tensor | None = None,
    decay: Tensor | None = None,
    predictor: tuple[Tensor, Tensor | None] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
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
        predictor: Weight [C, C] and bias [C] that score the channels, where they are masked.

    Returns:
        Spikes [T, N, ...] of x_seq's dtype, the membrane [N, ...] of v's, and max|r| of each step,
        [T], or the shares that it masked, [T, 3], or [0].

    Example:
        >>> x_seq, v = torch.full((3, 1), 0.75), torch.zeros(1)
        >>> one = torch.tensor(1.0)
        >>> spikes, last, _ = quantized_lif(x_seq, v, one, Parameters())
        >>> spikes.flatten(), last
        (tensor([0., 1., 0.]), tensor([1.]))
    """
    shares: list[Tensor] = []
    pruning = parameters.pruning or PruningSpec()

    def mask(h: Tensor) -> Tensor:
        how = pruning.channel_threshold, pruning.channel_softmax
        masked, share = prune_membrane(h, pruning.spatial_ratio, pruning.block, predictor, *how)
        shares.append(share)
        return masked

    given = threshold, parameters, scale, initialized, decay
    neuron = _Neuron(wide(x_seq), *given, mask if parameters.prunes else None)
    spikes, last = neuron.run(x_seq, v)
    measured = neuron.maxima or shares
    return spikes, last, (torch.stack(measured) if measured else x_seq.new_empty(0)).float()


class _Neuron:
    """One neuron's parts, and the scale that goes on from step to step."""

    def __init__(
        self,
        currents: Tensor,
        threshold: Tensor,
        parameters: Parameters,
        scale: Tensor | None,
        initialized: Tensor | None,
        decay: Tensor | None,
        mask: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.mask = mask
        self.dtype, self.parameters = currents.dtype, parameters
        self.threshold = threshold.to(currents.dtype)
        # the separate path is the whole gradient of the threshold
        separate = parameters.threshold.gradient == "separate"
        self.constant = self.threshold.detach() if separate else self.threshold
        unused = currents.new_empty(())
        self.scale = unused if scale is None else scale
        self.initialized = unused if initialized is None else initialized
        self.decay = None if decay is None else decay.to(currents.dtype)
        self.maxima: list[Tensor] = []

    def run(self, x_seq: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is sent in all steps, and what the last one stores."""
        q = v.to(self.dtype).expand(x_seq.shape[1:])
        spikes = []
        for x in wide(x_seq):
            spike, q = self.step(x, q)
            spikes.append(spike)
        return torch.stack(spikes).to(x_seq.dtype), q.to(v.dtype)

    def step(self, x: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is sent and what is stored after one step."""
        h = self._charge(x, q)
        if self.mask is not None:
            h = self.mask(h)
        spike = self._fire(h)
        q = self._store(self._reset(h, spike))
        if self.parameters.keeps_comparison:
            q = keep_comparison(q, spike > 0, self.threshold.detach())
        return spike * self.constant if self.parameters.spike.value == "threshold" else spike, q

    def _charge(self, x: Tensor, q: Tensor) -> Tensor:
        p = self.parameters
        if not (p.reset_is_late and p.resets):
            return self._leak(x, q)
        owed = self._fire(q).detach()
        if p.v_reset is not None:
            return self._leak(x, reset(q, owed, v_reset=0.0))
        return reset(self._leak(x, q), owed, self.constant, v_reset=None)

    def _leak(self, x: Tensor, q: Tensor) -> Tensor:
        p = self.parameters
        if self.decay is not None and p.has_rate:
            return plif_charge(x, q, self.decay, p.decay_input, p.resting)
        if self.decay is not None:
            return self.decay.clamp(0, 1) * q + x
        return q + x if p.tau is None else lif_charge(x, q, p.tau, p.decay_input, p.resting)

    def _fire(self, h: Tensor) -> Tensor:
        learning, spike = self.parameters.threshold, self.parameters.spike
        above = distance(h, self.threshold, learning.gradient, learning.window)
        fires_at_zero = self.parameters.fires_at_threshold
        if spike.bits > 1:
            return multi_bit_spike(above, self.constant, spike.bits, fires_at_zero)
        return heaviside(above, spike.surrogate, spike.sharpness, fires_at_zero)

    def _reset(self, h: Tensor, spike: Tensor) -> Tensor:
        p = self.parameters
        if p.reset_is_late or not p.resets:
            return h
        return reset(h, spike, self.constant, p.v_reset, p.detach_reset)

    def _store(self, r: Tensor) -> Tensor:
        membrane = self.parameters.membrane
        if membrane.kind == "float":
            return r
        if membrane.kind == "clip":
            return clip_membrane(r, membrane.lower, membrane.upper)
        shape = membrane.gradient, membrane.surrogate, membrane.smoothness
        if membrane.kind == "uniform":
            return uniform_membrane(r, self._scale_of(r), membrane.bits, *shape)
        quantize = pruned_level if membrane.kind == "pruned" else nearest_level
        return quantize(r, self.parameters.levels, *shape)

    def _scale_of(self, r: Tensor) -> Tensor:
        if not self.parameters.measures:
            return self.scale
        self.maxima.append(step_max(r))
        if self.parameters.scale == "step_max":
            return self.maxima[-1]
        greatest, momentum = self.maxima[-1].to(self.scale.dtype), self.parameters.membrane.momentum
        self.scale, self.initialized = average_scale(
            self.scale, self.initialized, greatest, momentum
        )
        return self.scale
