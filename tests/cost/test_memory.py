"""Memory against the figures that SpQuant-SNN prints, and against packing by hand."""

import numpy as np
import pytest
from torch import nn

from qsnn_plugins.cost import LayerMemory, membrane_memory, weight_memory
from qsnn_plugins.nn import quantize_weights
from qsnn_plugins.spec import MembraneSpec, QuantSpec, WeightSpec
from qsnn_plugins.spikingjelly import QuantLIFNode


def test_membranes_of_the_spquant_network_match_the_table():
    maps = [(64, 48), (128, 48), (256, 24), (256, 24), (512, 12), (512, 12), (1024, 6)]
    counts = {str(i): channels * side**2 for i, (channels, side) in enumerate(maps)}
    neurons = {name: QuantLIFNode() for name in counts}
    rows = membrane_memory(neurons, counts)
    assert sum(row.float_bytes for row in rows) == pytest.approx(3.686e6, rel=1e-3)  # 3.68 MB
    assert sum(row.bytes for row in rows) == pytest.approx(0.2304e6, rel=1e-3)  # 0.23 MB


@pytest.mark.parametrize(("count", "bits"), [(1, 1), (7, 3), (8, 4), (13, 5), (100, 2)])
def test_bytes_are_what_packing_takes(count, bits):
    packed = np.packbits(np.zeros(count * bits, np.uint8))
    assert LayerMemory("x", "weight", count, bits).bytes == packed.nbytes


def test_levels_set_the_bits_of_a_membrane():
    for levels, bits in [((0, 1), 1), ((-1, 0, 1), 2), ((-3, -2, -1, 0, 1), 3)]:
        node = QuantLIFNode(spec=QuantSpec(membrane=MembraneSpec(levels=levels)))
        assert membrane_memory({"n": node}, {"n": 10})[0].bits == bits
    float_node = QuantLIFNode(spec=QuantSpec.full_precision())
    assert membrane_memory({"n": float_node}, {"n": 10})[0].bits == 32


def test_quantized_and_float_weights_are_told_apart():
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Linear(8, 8), nn.Linear(8, 3))
    quantize_weights(network, WeightSpec("power_of_two", bits=4, ends="float"))
    assert [(row.count, row.bits) for row in weight_memory(network)] == [
        (72, 32),
        (64, 4),
        (24, 32),
    ]
