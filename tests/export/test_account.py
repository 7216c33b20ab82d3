"""The bytes of an integer network are those that `qsnn cost` counts on a chip."""

import pytest
import torch

from qsnn_plugins import cost, export, presets
from qsnn_plugins.functional.packing.bits import packed_bytes
from qsnn_plugins.models import ResidualNet, StringNet
from qsnn_plugins.spec import MembraneSpec, QuantSpec, WeightSpec
from tests.export.networks import counts, string_net, waken

SPECS = (
    presets.imsnn(weight_bits=4),
    presets.imsnn(weight_bits=2),
    presets.qsnn(2),
    QuantSpec(
        MembraneSpec(kind="uniform", bits=3, scale="fixed"), weight=WeightSpec("mint", bits=3)
    ),
    QuantSpec(MembraneSpec(kind="pruned"), weight=WeightSpec("sigmoid", bits=2)),
)


@pytest.mark.filterwarnings("ignore:the step's maximum")
@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
@pytest.mark.parametrize("spec", SPECS, ids=range(len(SPECS)))
def test_weights_and_states_are_those_of_the_chip(spec, host):
    network = string_net(spec, host)
    memory = cost.report(network, None, input_shape=(4, 1, 2, 8, 8)).memory("chip")
    integer = export.to_integer(network, counts())
    assert sum(each.weights for each in integer.accounts) == memory.parameters["weights"]
    states = sum(each.states for each in integer.accounts)
    bits = {len(node.states[0]) for node in integer.neurons.values()}
    levels = spec.membrane.level_count
    # a level that no input can reach is left out
    assert states == memory.membranes if bits == {levels} else states <= memory.membranes


def test_what_is_written_is_what_is_counted(tmp_path):
    network = waken(ResidualNet(19, width=0.0625, spec=presets.imsnn(weight_bits=4)))
    integer = export.to_integer(network, counts(steps=2, shape=(3, 16, 16)))
    integer.save(tmp_path / "network.safetensors")
    tensors = sum(each.weights + each.bounds for each in integer.accounts)
    from safetensors import safe_open

    with safe_open(tmp_path / "network.safetensors", framework="pt") as file:
        names = [name for name in file.keys() if not name.endswith(".states")]  # noqa: SIM118
        stored = sum(t.numel() * t.element_size() for t in map(file.get_tensor, names))
    assert stored == tensors


def test_a_detector_answers_with_the_cells_of_its_grid():
    torch.manual_seed(0)
    network = waken(
        StringNet(
            "8C3-MP2-16C3-GRID12",
            in_channels=2,
            input_size=(8, 8),
            spec=presets.imsnn(weight_bits=4),
        )
    )
    x = counts()
    integer = export.to_integer(network, x)
    found = export.verify(network, integer, [x])
    assert found.differ == 0
    assert found.largest_difference < 1e-5
    assert packed_bytes(8 * 2 * 9, 4) == integer.accounts[1].weights
