import math

import numpy as np
import pytest
import torch
from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import StringNet
from qsnn_plugins.plot import BOUNDS, ClippedLayer, clipping_figure, measure_clipping
from qsnn_plugins.spikingjelly import QuantIFNode


def test_a_neuron_whose_course_is_known():
    """Currents add up: -2 then +4 fires, -2 then +1 does not, -6 stays below."""
    x = torch.tensor([[[-2.0, -2.0, -6.0, 0.5]], [[4.0, 1.0, 1.0, 0.5]], [[0.0, 0.0, 0.0, 0.0]]])
    network = nn.Sequential(QuantIFNode(step_mode="m"))
    (layer,) = measure_clipping(network, [x], bounds=[-5.0, -1.0])
    # stored is -1, from where +4 and +0 reach the threshold once in two later steps
    assert layer == ClippedLayer("0", -6.0, (-5.0, -1.0), (0.25, 0.75), (0.0, 0.25), (0.0, 0.125))
    assert layer.still_firing == pytest.approx((0.0, 1 / 3))


def test_it_is_the_membrane_before_it_is_quantized():
    """Ternary levels end at -1: stored membranes would never lie below the paper's bounds."""
    network = nn.Sequential(QuantIFNode(step_mode="m"))
    (layer,) = measure_clipping(network, [torch.full((2, 1, 3), -4.5)])
    assert dict(zip(layer.bounds, layer.below, strict=True)) == {
        -5.0: 0.0,
        -4.0: 1.0,
        -3.0: 1.0,
        -2.0: 1.0,
        -1.0: 1.0,
    }


def test_every_layer_of_a_network_has_an_entry():
    torch.manual_seed(0)
    network = StringNet("6C3-AP2-4C3-GAP-FC3")
    noise = (torch.rand(4, 5, 2, 8, 8) < 0.5).float()
    layers = measure_clipping(network, [noise], bounds=[0.0])
    assert [layer.name for layer in layers] == ["blocks.conv1.neuron", "blocks.conv2.neuron"]
    assert all(0 < layer.below[0] < 1 for layer in layers)
    assert all(layer.rates <= layer.firing <= layer.below for layer in layers)


def test_none_below_a_bound_is_no_share():
    assert math.isnan(ClippedLayer("a", -0.5, (-1.0,), (0.0,), (0.0,), (0.0,)).still_firing[0])


def test_bad_arguments_are_refused():
    network = nn.Sequential(QuantIFNode(step_mode="m"))
    with pytest.raises(ArgumentError, match=r"bounds=\[\]"):
        measure_clipping(network, [torch.zeros(2, 1, 3)], bounds=[])
    with pytest.raises(ArgumentError, match="finite bounds"):
        measure_clipping(network, [torch.zeros(2, 1, 3)], bounds=[-1.0, math.nan])
    with pytest.raises(ArgumentError, match=r"layers=\[\] is not allowed: give the clipped"):
        clipping_figure([])
    with pytest.raises(ArgumentError, match="T from 2"):
        measure_clipping(network, [torch.zeros(1, 1, 3)])


def test_the_figure_shows_each_bound():
    layers = [
        ClippedLayer(
            f"blocks.conv{i}.neuron", -float(i), BOUNDS, (0.5,) * 5, (0.1 * i,) * 5, (0,) * 5
        )
        for i in (1, 2)
    ]
    figure = clipping_figure(layers)
    upper, lower = figure.axes
    assert len(upper.lines) == len(lower.lines) == len(BOUNDS)
    assert np.allclose(upper.lines[0].get_ydata(), [20, 40])
    assert np.allclose(lower.lines[0].get_ydata(), 0)
    assert [tick.get_text() for tick in lower.get_xticklabels()] == [
        "blocks.conv1.neuron (-1.0)",
        "blocks.conv2.neuron (-2.0)",
    ]
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == [f"below {bound:g}" for bound in BOUNDS]
    assert lower.get_xlabel()
