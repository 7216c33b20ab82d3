"""Every equation once: tensors in, tensors out; no module, no state, no I/O."""

from qsnn_plugins.functional.codes import Codes, encode
from qsnn_plugins.functional.loss import rate_mse_loss, spike_regulation, tet_loss, wsdr_loss
from qsnn_plugins.functional.membrane import (
    RELEASED_LEVELS,
    clip_membrane,
    nearest_level,
    pruned_level,
)
from qsnn_plugins.functional.membrane_bits import step_max, uniform_levels, uniform_membrane
from qsnn_plugins.functional.neuron import lif_charge, multi_step, reset, step
from qsnn_plugins.functional.pruning import apply_mask, channel_mask, spatial_mask
from qsnn_plugins.functional.spike import heaviside, multi_bit_primitive, multi_bit_spike
from qsnn_plugins.functional.stacked import TERNARY, stacked_derivative
from qsnn_plugins.functional.surrogate import derivative, primitive
from qsnn_plugins.functional.threshold import distance, keep_positive, per_channel
from qsnn_plugins.functional.threshold_centred import threshold_centred_levels
from qsnn_plugins.functional.weight import power_of_two, power_of_two_grid

__all__ = [
    "RELEASED_LEVELS",
    "TERNARY",
    "Codes",
    "apply_mask",
    "channel_mask",
    "clip_membrane",
    "derivative",
    "distance",
    "encode",
    "heaviside",
    "keep_positive",
    "lif_charge",
    "multi_bit_primitive",
    "multi_bit_spike",
    "multi_step",
    "nearest_level",
    "per_channel",
    "power_of_two",
    "power_of_two_grid",
    "primitive",
    "pruned_level",
    "rate_mse_loss",
    "reset",
    "spatial_mask",
    "spike_regulation",
    "stacked_derivative",
    "step",
    "step_max",
    "tet_loss",
    "threshold_centred_levels",
    "uniform_levels",
    "uniform_membrane",
    "wsdr_loss",
]
