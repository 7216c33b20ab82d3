"""Every equation once: tensors in, tensors out; no module, no state, no I/O."""

from qsnn_plugins.functional.loss import tet_loss
from qsnn_plugins.functional.membrane import TERNARY, nearest_level, stacked_derivative
from qsnn_plugins.functional.neuron import lif_charge, multi_step, reset, step
from qsnn_plugins.functional.spike import heaviside
from qsnn_plugins.functional.surrogate import derivative, primitive
from qsnn_plugins.functional.threshold import distance, keep_positive
from qsnn_plugins.functional.weight import power_of_two, power_of_two_grid

__all__ = [
    "TERNARY",
    "derivative",
    "distance",
    "heaviside",
    "keep_positive",
    "lif_charge",
    "multi_step",
    "nearest_level",
    "power_of_two",
    "power_of_two_grid",
    "primitive",
    "reset",
    "stacked_derivative",
    "step",
    "tet_loss",
]
