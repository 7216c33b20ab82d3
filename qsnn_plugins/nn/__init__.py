"""Modules that do not depend on a host: neuron step, spikes, quantizers, pruning, losses."""

from qsnn_plugins.nn.baked_weight import bake_weights, stored_quantizer, stored_weight
from qsnn_plugins.nn.binary import Binary
from qsnn_plugins.nn.cell import Cell, ResetTime
from qsnn_plugins.nn.gate import ChannelGate, KeepsMeans, channel_gates, follow_norms
from qsnn_plugins.nn.kept_state import watch_state
from qsnn_plugins.nn.layers import Transposed, end_layers, output_first, weight_layers, weight_of
from qsnn_plugins.nn.loss import MeanCrossEntropyLoss, RateMSELoss, TETLoss, WSDRLoss
from qsnn_plugins.nn.membrane import ClipMembrane, NearestLevel, membrane_quantizer
from qsnn_plugins.nn.membrane_bits import UniformMembrane
from qsnn_plugins.nn.mint import Mint
from qsnn_plugins.nn.monitor import ForwardMonitor, output_spikes
from qsnn_plugins.nn.neuron import (
    charges_otherwise,
    initial_threshold,
    neuron_facts,
    quantized_neurons,
    refuse_jit,
    shown,
    threshold_in_use,
)
from qsnn_plugins.nn.parameter_groups import WeightDecayOn, parameter_groups
from qsnn_plugins.nn.power_of_two import AdditivePowerOfTwo, PowerOfTwo
from qsnn_plugins.nn.pruning import MembranePruning
from qsnn_plugins.nn.regulate import Regulate
from qsnn_plugins.nn.sigmoid_quantizer import SigmoidQuantizer, soft_weights
from qsnn_plugins.nn.spike import Spike, SumLimit, check_comparison
from qsnn_plugins.nn.state import StateFacts, allow_spec_changes
from qsnn_plugins.nn.statistical import Statistical
from qsnn_plugins.nn.uniform import Uniform
from qsnn_plugins.nn.weight import (
    WeightQuantizer,
    layer_quantizer,
    quantize_weights,
    remove_quantizer,
    set_weight_epoch,
    weight_quantizer,
)
from qsnn_plugins.nn.yolo_loss import YoloLoss

__all__ = [
    "AdditivePowerOfTwo",
    "Binary",
    "Cell",
    "ChannelGate",
    "ClipMembrane",
    "ForwardMonitor",
    "KeepsMeans",
    "MeanCrossEntropyLoss",
    "MembranePruning",
    "Mint",
    "NearestLevel",
    "PowerOfTwo",
    "RateMSELoss",
    "Regulate",
    "ResetTime",
    "SigmoidQuantizer",
    "Spike",
    "StateFacts",
    "Statistical",
    "SumLimit",
    "TETLoss",
    "Transposed",
    "Uniform",
    "UniformMembrane",
    "WSDRLoss",
    "WeightDecayOn",
    "WeightQuantizer",
    "YoloLoss",
    "allow_spec_changes",
    "bake_weights",
    "channel_gates",
    "charges_otherwise",
    "check_comparison",
    "end_layers",
    "follow_norms",
    "initial_threshold",
    "layer_quantizer",
    "membrane_quantizer",
    "neuron_facts",
    "output_first",
    "output_spikes",
    "parameter_groups",
    "quantize_weights",
    "quantized_neurons",
    "refuse_jit",
    "remove_quantizer",
    "set_weight_epoch",
    "shown",
    "soft_weights",
    "stored_quantizer",
    "stored_weight",
    "threshold_in_use",
    "watch_state",
    "weight_layers",
    "weight_of",
    "weight_quantizer",
]
