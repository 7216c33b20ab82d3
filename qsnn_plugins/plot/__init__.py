"""Figures as the papers have them, from any network: what is measured, and what is drawn of it."""

from qsnn_plugins.plot.accuracy import (
    MeasuredNetwork,
    bits_figure,
    pareto_front,
    tradeoff_figure,
)
from qsnn_plugins.plot.boxes import Scene, boxes_figure
from qsnn_plugins.plot.clipping import BOUNDS, ClippedLayer, clipping_figure, measure_clipping
from qsnn_plugins.plot.curves import History, curves_figure, read_history, read_record
from qsnn_plugins.plot.distributions import (
    Distribution,
    distributions_figure,
    spike_distributions,
    weight_distributions,
)
from qsnn_plugins.plot.layers import follow_layers, measure_layers
from qsnn_plugins.plot.membranes import (
    MembraneHistogram,
    measure_membranes,
    membranes_figure,
)
from qsnn_plugins.plot.negative import NegativeLayer, measure_negative, negative_figure
from qsnn_plugins.plot.rates import measure_rates, rates_figure
from qsnn_plugins.plot.seeds import interval_of_mean
from qsnn_plugins.plot.style import WIDTHS, page, save_figure

__all__ = [
    "BOUNDS",
    "WIDTHS",
    "ClippedLayer",
    "Distribution",
    "History",
    "MeasuredNetwork",
    "MembraneHistogram",
    "NegativeLayer",
    "Scene",
    "bits_figure",
    "boxes_figure",
    "clipping_figure",
    "curves_figure",
    "distributions_figure",
    "follow_layers",
    "interval_of_mean",
    "measure_clipping",
    "measure_layers",
    "measure_membranes",
    "measure_negative",
    "measure_rates",
    "membranes_figure",
    "negative_figure",
    "page",
    "pareto_front",
    "rates_figure",
    "read_history",
    "read_record",
    "save_figure",
    "spike_distributions",
    "tradeoff_figure",
    "weight_distributions",
]
