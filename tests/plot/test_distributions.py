import numpy as np
import pytest
import torch
from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import StringNet
from qsnn_plugins.nn import bake_weights, quantize_weights
from qsnn_plugins.plot import (
    Distribution,
    distributions_figure,
    spike_distributions,
    weight_distributions,
)
from qsnn_plugins.spec import QuantSpec, SpikeSpec, WeightSpec
from qsnn_plugins.spikingjelly import QuantIFNode


def quantized(spec, seed=0):
    torch.manual_seed(seed)
    layer = nn.Linear(40, 30)
    quantize_weights(layer, spec)
    return layer


@pytest.mark.parametrize("regulation", ["none", "layer"])
def test_binary_weights_are_signs_around_the_regulated_mean(regulation):
    layer = quantized(WeightSpec(kind="binary", bits=1, regulation=regulation))
    layer.parametrizations.weight.original.data += 0.1
    weight = layer.parametrizations.weight.original.detach().double().numpy()
    middle = weight.mean() if regulation == "layer" else 0.0
    (found,) = weight_distributions(layer)
    assert found.values == (-1.0, 1.0)
    assert found.positive == pytest.approx((weight >= middle).mean())
    assert sum(found.shares) == pytest.approx(1)


def test_levels_are_counted_by_their_codes():
    layer = quantized(WeightSpec(kind="uniform", bits=3))
    (found,) = weight_distributions(layer)
    steps = layer.weight.detach() / layer.weight.detach().abs().max()
    assert found.values == pytest.approx([i / 3 for i in range(-3, 4)])
    for value, share in zip(found.values, found.shares, strict=True):
        assert share == pytest.approx(float(((steps - value).abs() < 0.1).double().mean()))


@pytest.mark.parametrize("kind", ["uniform", "power_of_two"])
def test_baked_weights_have_the_levels_that_they_were_baked_with(kind):
    layer = quantized(WeightSpec(kind=kind, bits=3)).eval()
    before = weight_distributions(layer)
    bake_weights(layer)
    assert len(before[0].values) == 7
    assert weight_distributions(layer) == before


@pytest.mark.parametrize("spec", [None, WeightSpec(kind="uniform", bits=8)])
def test_many_values_are_counted_in_bins(spec):
    layer = quantized(spec) if spec else nn.Linear(40, 30)
    (found,) = weight_distributions(layer)
    weight = layer.weight.detach().double().numpy()
    edges = np.linspace(-1, 1, 17)
    wanted, _ = np.histogram(weight / abs(weight).max(), bins=edges)
    assert found.values == pytest.approx((edges[1:] + edges[:-1]) / 2)
    # a code on an edge may fall to either side of it in floating point
    assert found.shares == pytest.approx(wanted / weight.size, abs=0 if spec is None else 0.02)
    assert sum(found.shares) == pytest.approx(1)


def test_weights_that_are_all_zero_are_counted():
    layer = nn.Linear(2, 2)
    nn.init.zeros_(layer.weight)
    assert sum(weight_distributions(layer)[0].shares) == pytest.approx(1)


@pytest.mark.parametrize("worth", ["count", "threshold"])
def test_spikes_are_counted_by_value(worth):
    spec = QuantSpec(spike=SpikeSpec(bits=2, value=worth))
    network = nn.Sequential(QuantIFNode(v_threshold=0.5, step_mode="m", spec=spec))
    x = torch.tensor([[[0.1, 0.6, 1.1, 9.0]]])
    (found,) = spike_distributions(network, [x, x])
    scale = 0.5 if worth == "threshold" else 1
    counts = dict(zip(found.values, found.shares, strict=True))
    assert {v: s for v, s in counts.items() if s} == {scale * i: 0.25 for i in range(4)}
    assert found.positive == 0.75
    assert not network[0]._forward_hooks


def test_a_silent_layer_has_both_values():
    network = StringNet("4C3-GAP-FC2")
    (found,) = spike_distributions(network, [torch.zeros(3, 2, 2, 6, 6)])
    assert (found.values, found.shares) == ((0.0, 1.0), (1.0, 0.0))


def layers(*shares):
    return [Distribution(f"conv{i}", (-1.0, 1.0), (1 - s, s)) for i, s in enumerate(shares)]


def test_the_figure_has_a_panel_a_layer_and_a_bar_a_network():
    weights = {"before": layers(0.25, 0.4, 0.5), "after": layers(0.5, 0.5, 0.5)}
    spikes = {"before": layers(0.1), "after": layers(0.3)}
    figure = distributions_figure(weights, spikes, most=2)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["conv0\n0.25 | 0.50", "conv1\n0.40 | 0.50", "conv0\n0.10 | 0.30"]
    before, after = figure.axes[0].containers
    assert [bar.get_height() for bar in before] == pytest.approx([0.75, 0.25])
    assert [bar.get_height() for bar in after] == pytest.approx([0.5, 0.5])
    assert before[0].get_hatch() != after[0].get_hatch()
    assert before[0].get_x() + before[0].get_width() == pytest.approx(after[0].get_x())
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["before", "after"]


def test_float_and_4_bit_weights_are_outlines_on_their_own_values():
    binned = Distribution("conv", tuple(np.linspace(-0.9, 0.9, 16)), (1 / 16,) * 16)
    uniform = Distribution("conv", tuple(np.linspace(-1, 1, 15)), (1 / 15,) * 15)
    powers = Distribution(
        "conv", (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0), (0.1, 0.2, 0.3, 0.2, 0.1, 0.1)
    )
    weights = {"float": [binned], "uniform": [uniform], "powers": [powers]}
    figure = distributions_figure(weights, dict.fromkeys(weights, layers(0.2)))
    panel, spikes = figure.axes
    assert not panel.patches
    one, other, stems = panel.lines
    assert list(one.get_xdata()) == pytest.approx(binned.values)
    assert list(other.get_ydata()) == pytest.approx(uniform.shares)
    assert list(stems.get_xdata()) == list(powers.values)
    assert stems.get_linestyle() == "None"
    assert len({one.get_color(), other.get_color(), stems.get_color()}) == 3
    assert one.get_linestyle() != other.get_linestyle()
    assert len(spikes.patches) == 6
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["float", "uniform", "powers"]


def test_many_layers_go_on_in_the_next_row():
    figure = distributions_figure({"a": layers(*[0.2] * 6)}, {"a": layers(*[0.2] * 5)})
    assert figure.get_size_inches()[0] <= 7
    assert {axes.get_gridspec().get_geometry() for axes in figure.axes} == {(4, 4)}
    assert len(figure.axes) == 11


def test_networks_of_other_layers_are_refused():
    spikes = {"a": layers(0.1)}
    with pytest.raises(ArgumentError, match="layers of b="):
        distributions_figure({"a": layers(0.1, 0.2), "b": layers(0.1)}, spikes)
    with pytest.raises(ArgumentError, match="networks="):
        distributions_figure({}, {})
