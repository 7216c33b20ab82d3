"""Histograms of membranes against numpy, and what is drawn of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.plot import (
    MembraneHistogram,
    measure_layers,
    measure_membranes,
    membranes_figure,
    page,
)
from qsnn_plugins.spec import MembraneSpec, QuantSpec
from qsnn_plugins.spikingjelly import QuantLIFNode


def currents(*shape, seed=0):
    return 1.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def membranes_of(network, batches):
    """All membranes after the reset and as stored, in numpy."""
    found = []
    measure_layers(network, batches, lambda r, q, s: found.append((r, q)) or q.mean())
    return [
        np.concatenate([part.numpy().ravel() for part in both]) for both in zip(*found, strict=True)
    ]


@pytest.mark.parametrize("kind", ["ternary", "uniform"])
def test_shares_are_those_of_numpy(kind):
    membrane = MembraneSpec() if kind == "ternary" else MembraneSpec(kind="uniform", bits=3)
    network = nn.Sequential(QuantLIFNode(step_mode="m", spec=QuantSpec(membrane=membrane)))
    batches = [currents(6, 3, 50), 3 * currents(6, 2, 50, seed=1)]
    (found,) = measure_membranes(network, batches)
    before, stored = membranes_of(network, batches)
    edges = found.width * (np.arange(len(found.bins) + 1) - 0.5) + found.bins[0]
    wanted, _ = np.histogram(before, bins=edges)
    assert found.before == pytest.approx(wanted / before.size)
    assert sum(found.before) == pytest.approx(1)
    levels, counts = np.unique(stored, return_counts=True)
    assert found.levels == pytest.approx(levels)
    assert found.stored == pytest.approx(counts / stored.size)
    # a hard reset leaves zeros, in the middle of a bin
    assert min(abs(b) for b in found.bins) == 0
    assert found.name == "0"


def test_a_membrane_that_stays_float_has_no_levels():
    network = nn.Sequential(QuantLIFNode(step_mode="m", spec=QuantSpec.full_precision()))
    (found,) = measure_membranes(network, [currents(6, 3, 200)])
    assert found.levels == ()
    assert found.stored == found.before
    upper, lower = membranes_figure([found]).axes
    heights = [[bar.get_height() for bar in part.patches] for part in (upper, lower)]
    assert heights[0] == heights[1] == pytest.approx([100 * s for s in found.before])


def test_what_is_not_finite_is_refused_by_name():
    network = nn.Sequential(QuantLIFNode(step_mode="m", spec=QuantSpec.full_precision()))
    with pytest.raises(QSNNError, match="0 has membranes that are not finite"):
        measure_membranes(network, [currents(6, 3, 5) / 0])


def layer(name="blocks.conv1.neuron"):
    bins = tuple(0.5 * i for i in range(-4, 3))
    before = (0.0005, 0.0005, 0.2, 0.2, 0.3, 0.2, 0.099)
    return MembraneHistogram(name, 0.5, bins, before, (-1.0, 0.0, 1.0), (0.25, 0.5, 0.25))


def test_a_layer_has_what_is_stored_below_what_was_there():
    figure = membranes_figure([layer(), layer("head.lif")])
    first, _, second, _ = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["blocks.conv1.neuron", "head.lif", "", ""]
    bars = [(p.get_x() + p.get_width() / 2, p.get_height()) for p in first.patches]
    assert np.allclose(bars, np.stack([layer().bins, np.multiply(100, layer().before)], 1))
    bars = [(p.get_x() + p.get_width() / 2, p.get_height()) for p in second.patches]
    assert bars == [(-1, 25), (0, 50), (1, 25)]
    assert [text.get_text() for text in second.texts] == ["25", "50", "25"]
    assert first.get_xlim() == second.get_xlim()
    # the outermost thousandth is not drawn
    assert -2 < first.get_xlim()[0] < -1
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["before quantization", "as stored"]
    assert figure.get_suptitle()


def test_a_bin_that_towers_above_all_others_is_cut_and_labelled():
    high = replace(layer(), before=(0.1, 0.05, 0.05, 0.05, 0.6, 0.1, 0.05))
    figure = membranes_figure([high])
    upper = figure.axes[0]
    assert upper.get_ylim() == pytest.approx((0, 17))
    assert [text.get_text() for text in upper.texts] == ["60"]
    assert max(bar.get_height() for bar in upper.patches) == pytest.approx(60)


def test_in_a_narrow_column_layers_stand_below_each_other():
    with page("ieee"):
        figure = membranes_figure([layer(str(i)) for i in range(3)])
    grids = {axes.get_gridspec().get_geometry() for axes in figure.axes}
    assert grids == {(4, 2)}
    assert len(figure.axes) == 6


def test_no_layer_is_refused():
    with pytest.raises(ArgumentError, match="layers="):
        membranes_figure([])
