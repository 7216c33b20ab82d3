"""The quantized LIF neuron as a loop over `qsnn_plugins.functional`: the definition of correct."""

from __future__ import annotations

from torch import Tensor

from qsnn_plugins.functional.membrane import clip_membrane, nearest_level, pruned_level
from qsnn_plugins.functional.neuron import lif_charge, multi_step, reset
from qsnn_plugins.functional.scale import wide
from qsnn_plugins.functional.spike import heaviside, multi_bit_spike
from qsnn_plugins.functional.threshold import distance
from qsnn_plugins.ops.quantized_lif.parameters import Parameters

__all__ = ["quantized_lif"]


def quantized_lif(
    x_seq: Tensor, v: Tensor, threshold: Tensor, parameters: Parameters
) -> tuple[Tensor, Tensor]:
    """Spikes and the last stored membrane; see `qsnn_plugins.ops.quantized_lif`.

    16-bit input is computed in float32: nothing is rounded before it is compared.

    Args:
        x_seq: Input currents, shape [T, N, ...].
        v: Stored membrane before the first step, shape [N, ...] or [].
        threshold: V_th, shape [] or one that broadcasts to [N, ...].
        parameters: The neuron.

    Returns:
        Spikes [T, N, ...] of x_seq's dtype and the membrane [N, ...] of v's.

    Example:
        >>> import torch
        >>> x_seq, v = torch.full((3, 1), 0.75), torch.zeros(1)
        >>> spikes, last = quantized_lif(x_seq, v, torch.tensor(1.0), Parameters())
        >>> spikes.flatten(), last
        (tensor([0., 1., 0.]), tensor([1.]))
    """
    learning, spike = parameters.threshold, parameters.spike
    current = wide(x_seq)
    threshold = threshold.to(current.dtype)
    # the separate path is the whole gradient of the threshold
    constant = threshold if learning.gradient == "ordinary" else threshold.detach()

    def charge(x: Tensor, q: Tensor) -> Tensor:
        if parameters.tau is None:
            return q + x
        return lif_charge(x, q, parameters.tau, parameters.decay_input, parameters.resting)

    def fire(h: Tensor) -> Tensor:
        above = distance(h, threshold, learning.gradient, learning.window)
        if spike.bits > 1:
            return multi_bit_spike(above, constant, spike.bits, parameters.fires_at_threshold)
        return heaviside(above, spike.surrogate, spike.sharpness, parameters.fires_at_threshold)

    def store(r: Tensor) -> Tensor:
        membrane = parameters.membrane
        if membrane.kind == "float":
            return r
        if membrane.kind == "clip":
            return clip_membrane(r, membrane.lower, membrane.upper)
        quantize = pruned_level if membrane.kind == "pruned" else nearest_level
        shape = membrane.gradient, membrane.surrogate, membrane.smoothness
        return quantize(r, parameters.levels, *shape)

    spikes, states = multi_step(
        current,
        v.to(current.dtype).expand(x_seq.shape[1:]),
        charge=charge,
        fire=fire,
        reset=lambda h, s: reset(h, s, constant, parameters.v_reset, parameters.detach_reset),
        store=store,
    )
    if spike.value == "threshold":
        spikes = spikes * constant
    return spikes.to(x_seq.dtype), states[-1].to(v.dtype)
