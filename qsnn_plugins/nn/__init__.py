"""Modules that know no host: spikes, membrane and weight quantizers, losses."""

from qsnn_plugins.nn.loss import TETLoss
from qsnn_plugins.nn.membrane import NearestLevel, membrane_quantizer
from qsnn_plugins.nn.spike import Spike
from qsnn_plugins.nn.weight import PowerOfTwo, quantize_weights, weight_layers

__all__ = [
    "NearestLevel",
    "PowerOfTwo",
    "Spike",
    "TETLoss",
    "membrane_quantizer",
    "quantize_weights",
    "weight_layers",
]
