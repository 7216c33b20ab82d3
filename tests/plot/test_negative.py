import math

import pytest
import torch
from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.plot import NegativeLayer, measure_negative, negative_figure
from qsnn_plugins.spikingjelly import QuantIFNode


def test_a_neuron_whose_course_is_known():
    """Stored are -1, 0 and +1; of two negative ones, one fires next."""
    x = torch.tensor([[[-2.0, -0.75, 0.25, 0.75]], [[2.5, 0.5, 0.5, 0.0]]])
    network = nn.Sequential(QuantIFNode(step_mode="m"))
    (layer,) = measure_negative(network, [x])
    # after the second step: fired, -0.5 which is stored as -1, 0.5 as 0, 1 fired
    assert layer == NegativeLayer("0", share=3 / 8, rate=1 / 2)


def test_without_negative_membranes_there_is_no_rate():
    network = nn.Sequential(QuantIFNode(step_mode="m"))
    (layer,) = measure_negative(network, [torch.zeros(3, 1, 2)])
    assert layer.share == 0
    assert math.isnan(layer.rate)


def test_the_figure_has_both_bars_of_each_layer():
    layers = [NegativeLayer("a.conv1", 0.4, 0.05), NegativeLayer("a.conv2", 0.5, math.nan)]
    figure = negative_figure(layers)
    (axes,) = figure.axes
    shares, rates = axes.containers
    assert [bar.get_height() for bar in shares] == pytest.approx([40, 50])
    assert rates[0].get_height() == pytest.approx(5)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a.conv1", "a.conv2"]
    assert (shares[0].get_hatch(), axes.get_ylabel()) == ("", "share (%)")
    assert rates[0].get_hatch()
    assert len(figure.legends[0].get_texts()) == 2


def test_no_layer_is_refused():
    with pytest.raises(ArgumentError, match=r"layers=\[\] is not allowed: give the negative"):
        negative_figure([])
