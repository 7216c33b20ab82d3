import pytest
import torch
from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.plot import measure_rates, rates_figure
from qsnn_plugins.spec import QuantSpec, SpikeSpec
from qsnn_plugins.spikingjelly import QuantIFNode


def test_a_spike_of_several_bits_counts_once():
    spec = QuantSpec(spike=SpikeSpec(bits=2))
    network = nn.Sequential(QuantIFNode(step_mode="m", spec=spec)).train()
    x = torch.tensor([[[0.1, 1.1, 3.5, 0.2]], [[0.1, 0.0, 0.0, 0.0]]])
    assert measure_rates(network, [x]) == {"0": 0.25}
    assert network.training
    assert not network[0]._forward_hooks


def test_the_figure_has_a_line_a_network():
    rates = {
        "S/T = 1/4": {"net.conv1": 0.25, "net.conv2": 0.5},
        "S/T = 4/1": {"net.conv1": 0.1, "net.conv2": 0.2},
    }
    figure = rates_figure(rates)
    (axes,) = figure.axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[25, 50], [10, 20]]
    assert len({(line.get_marker(), line.get_linestyle()) for line in axes.lines}) == 2
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["net.conv1", "net.conv2"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(rates)
    assert axes.get_ylabel().endswith("(%)")


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ArgumentError, match="layers of b="):
        rates_figure({"a": {"conv1": 0.1}, "b": {"conv2": 0.1}})
    with pytest.raises(ArgumentError, match="rates="):
        rates_figure({})
    with pytest.raises(ArgumentError, match="with layers"):
        rates_figure({"a": {}})
    with pytest.raises(ArgumentError, match="series=9"):
        rates_figure({str(i): {"conv1": 0.1} for i in range(9)})
