"""All equations as functions of tensors, without modules, state or I/O."""

from qsnn_plugins.functional.detection.boxes import clip_boxes, nms, pairwise_iou
from qsnn_plugins.functional.detection.decode import Detections, detect
from qsnn_plugins.functional.detection.grid import (
    GridPrediction,
    YoloGrid,
    decode_boxes,
    split_outputs,
)
from qsnn_plugins.functional.detection.loss import (
    Assignment,
    YoloReduction,
    assign_boxes,
    yolo_loss_parts,
)
from qsnn_plugins.functional.late_reset import keep_comparison
from qsnn_plugins.functional.loss import (
    mean_cross_entropy_loss,
    rate_mse_loss,
    spike_regulation,
    tet_loss,
    wsdr_loss,
)
from qsnn_plugins.functional.membrane.levels import (
    RELEASED_LEVELS,
    clip_membrane,
    nearest_level,
    pruned_level,
)
from qsnn_plugins.functional.membrane.silent_region import negative_firing, silent_region
from qsnn_plugins.functional.membrane.stacked import TERNARY, stacked_derivative
from qsnn_plugins.functional.membrane.threshold_centred import threshold_centred_levels
from qsnn_plugins.functional.membrane.uniform import (
    average_scale,
    step_max,
    tanh_membrane,
    uniform_levels,
    uniform_membrane,
)
from qsnn_plugins.functional.neuron import lif_charge, reset
from qsnn_plugins.functional.operations import (
    arithmetic_effort,
    bit_budget,
    operation_energy,
    remaining_operations,
)
from qsnn_plugins.functional.packing.bits import (
    pack_codes,
    packed_bytes,
    place_in_levels,
    unpack_codes,
)
from qsnn_plugins.functional.packing.codes import Codes, encode
from qsnn_plugins.functional.pruning import (
    apply_mask,
    channel_gate,
    channel_means,
    input_attention,
    prune_membrane,
    spatial_mask,
    weak_count,
)
from qsnn_plugins.functional.scale import (
    max_magnitude,
    mean_magnitude,
    normalize_gradient,
    round_through,
    round_to_power_of_two,
)
from qsnn_plugins.functional.spike import (
    heaviside,
    limit_sums,
    limited_attention,
    multi_bit_primitive,
    multi_bit_spike,
)
from qsnn_plugins.functional.surrogate import derivative, primitive
from qsnn_plugins.functional.threshold import distance, keep_positive, per_channel
from qsnn_plugins.functional.weight.binary import binary, binary_codes, ede_schedule
from qsnn_plugins.functional.weight.mint import mint, mint_bound, mint_codes, mint_initial_beta
from qsnn_plugins.functional.weight.power_of_two import (
    additive_power_of_two,
    additive_power_of_two_codes,
    additive_power_of_two_grid,
    power_of_two,
    power_of_two_codes,
    power_of_two_grid,
)
from qsnn_plugins.functional.weight.regulation import regulate
from qsnn_plugins.functional.weight.sigmoid_quantizer import (
    linear_temperature,
    sigmoid_quantizer,
    sigmoid_quantizer_codes,
)
from qsnn_plugins.functional.weight.statistical import (
    statistical,
    statistical_bound,
    statistical_codes,
)
from qsnn_plugins.functional.weight.thresholds import (
    best_scale,
    k_means_thresholds,
    middle_thresholds,
    symmetric_levels,
)
from qsnn_plugins.functional.weight.uniform import uniform, uniform_codes

__all__ = [
    "RELEASED_LEVELS",
    "TERNARY",
    "Assignment",
    "Codes",
    "Detections",
    "GridPrediction",
    "YoloGrid",
    "YoloReduction",
    "additive_power_of_two",
    "additive_power_of_two_codes",
    "additive_power_of_two_grid",
    "apply_mask",
    "arithmetic_effort",
    "assign_boxes",
    "average_scale",
    "best_scale",
    "binary",
    "binary_codes",
    "bit_budget",
    "channel_gate",
    "channel_means",
    "clip_boxes",
    "clip_membrane",
    "decode_boxes",
    "derivative",
    "detect",
    "distance",
    "ede_schedule",
    "encode",
    "heaviside",
    "input_attention",
    "k_means_thresholds",
    "keep_comparison",
    "keep_positive",
    "lif_charge",
    "limit_sums",
    "limited_attention",
    "linear_temperature",
    "max_magnitude",
    "mean_cross_entropy_loss",
    "mean_magnitude",
    "middle_thresholds",
    "mint",
    "mint_bound",
    "mint_codes",
    "mint_initial_beta",
    "multi_bit_primitive",
    "multi_bit_spike",
    "nearest_level",
    "negative_firing",
    "nms",
    "normalize_gradient",
    "operation_energy",
    "pack_codes",
    "packed_bytes",
    "pairwise_iou",
    "per_channel",
    "place_in_levels",
    "power_of_two",
    "power_of_two_codes",
    "power_of_two_grid",
    "primitive",
    "prune_membrane",
    "pruned_level",
    "rate_mse_loss",
    "regulate",
    "remaining_operations",
    "reset",
    "round_through",
    "round_to_power_of_two",
    "sigmoid_quantizer",
    "sigmoid_quantizer_codes",
    "silent_region",
    "spatial_mask",
    "spike_regulation",
    "split_outputs",
    "stacked_derivative",
    "statistical",
    "statistical_bound",
    "statistical_codes",
    "step_max",
    "symmetric_levels",
    "tanh_membrane",
    "tet_loss",
    "threshold_centred_levels",
    "uniform",
    "uniform_codes",
    "uniform_levels",
    "uniform_membrane",
    "unpack_codes",
    "weak_count",
    "wsdr_loss",
    "yolo_loss_parts",
]
