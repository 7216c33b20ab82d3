"""How a network is quantized: the one description that everything else reads.

A `QuantSpec` holds plain values only, one small frozen dataclass per part. A recipe's YAML builds
it, the hosts' neurons take it, memory is counted with it.
"""

from qsnn_plugins.spec.membrane import MembraneSpec
from qsnn_plugins.spec.network import QuantSpec
from qsnn_plugins.spec.pruning import PruningSpec
from qsnn_plugins.spec.spike import SpikeSpec
from qsnn_plugins.spec.threshold import ThresholdSpec
from qsnn_plugins.spec.weight import WeightSpec

__all__ = [
    "MembraneSpec",
    "PruningSpec",
    "QuantSpec",
    "SpikeSpec",
    "ThresholdSpec",
    "WeightSpec",
]
