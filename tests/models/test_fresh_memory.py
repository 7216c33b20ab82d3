"""Nothing reads memory that nothing wrote: what torch fills with NaN changes nothing."""

import pytest
import torch
from torch.utils import deterministic

from qsnn_plugins import presets
from qsnn_plugins.models import StringNet

LAYERS = "8C3-8C3-AP2-16C3-MP2-GAP-FC10"


@pytest.fixture
def filled():
    """Have torch fill fresh memory with NaN, or with the largest integer."""
    kept = torch.are_deterministic_algorithms_enabled(), deterministic.fill_uninitialized_memory

    def switch(fill):
        torch.use_deterministic_algorithms(True)
        deterministic.fill_uninitialized_memory = fill

    yield switch
    torch.use_deterministic_algorithms(kept[0])
    deterministic.fill_uninitialized_memory = kept[1]


def trained(preset, host):
    """Return the output of a training step and of a test, and the gradients and states after it."""
    torch.manual_seed(0)
    network = StringNet(LAYERS, spec=presets.resolve(preset), host=host)
    images = torch.rand(3, 2, 2, 8, 8)  # [T, N, C, H, W]
    logits = network(images)
    logits.square().mean().backward()
    found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    found |= {"training": logits.detach()} | network.state_dict()
    return found | {"test": network.eval()(images).detach()}


@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
@pytest.mark.parametrize("preset", presets.NAMES)
def test_no_kernel_reads_fresh_memory(preset, host, filled):
    filled(True)
    assert torch.empty(4).isnan().all(), "torch fills what is empty"
    with_nan = trained(preset, host)
    filled(False)
    without = trained(preset, host)
    assert with_nan.keys() == without.keys()
    assert all(torch.equal(with_nan[name], without[name]) for name in without)
