"""Modules that know no host: spikes, membrane and weight quantizers, pruning, losses."""

from qsnn_plugins.nn.firing_rate import FiringRates
from qsnn_plugins.nn.loss import RateMSELoss, TETLoss, WSDRLoss
from qsnn_plugins.nn.membrane import ClipMembrane, NearestLevel, membrane_quantizer
from qsnn_plugins.nn.membrane_bits import UniformMembrane
from qsnn_plugins.nn.pruning import MembranePruning, Sparsity
from qsnn_plugins.nn.spike import Spike
from qsnn_plugins.nn.weight import PowerOfTwo, quantize_weights, weight_layers

__all__ = [
    "ClipMembrane",
    "FiringRates",
    "MembranePruning",
    "NearestLevel",
    "PowerOfTwo",
    "RateMSELoss",
    "Sparsity",
    "Spike",
    "TETLoss",
    "UniformMembrane",
    "WSDRLoss",
    "membrane_quantizer",
    "quantize_weights",
    "weight_layers",
]
