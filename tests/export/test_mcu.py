"""Networks on a Cortex-M3, emulated: answers, instructions, bytes."""

import re

import pytest
import torch

from qsnn_plugins import presets
from qsnn_plugins.export import to_integer
from qsnn_plugins.models import StringNet
from tests.export.c_programs import constants
from tests.export.mcu import MISSING, account, compiled, instructions, on_board, products
from tests.export.random_networks import random_frames, random_network

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING), reason=f"the Debian packages {', '.join(MISSING)} are missing"
    ),
]

SAMPLES = 100


@pytest.fixture(scope="module")
def demo():
    """The network of `make demo`, and frames of its size."""
    torch.manual_seed(0)
    layers = "64C3-128C3-AP2-256C3-256C3-AP2-512C3-512C3-AP2-1024C3-GAP-FC1024-FC10"
    spec = presets.spquant(weight_bits=4, pruned=False)
    net = StringNet(layers, in_channels=2, input_size=(24, 24), spec=spec, width=0.25)
    # as after training, every layer fires
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 1, 3)
            torch.nn.init.normal_(module.bias, 0.2, 0.5)
            module.running_var.uniform_(0.2, 1)
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.bias, 0, 0.5 if module.out_features > 10 else 0.01)
    net.eval()
    frames = (torch.rand(6, SAMPLES, 2, 24, 24) < 0.1).float()
    return to_integer(net, frames[:1, :1]), frames


@pytest.mark.timeout(1800)
def test_the_demo_network_on_a_cortex_m3(demo, tmp_path, capsys):
    integer, frames = demo
    assert integer.multiplications == 0
    integer.to_c(tmp_path)
    program = compiled(tmp_path)
    names, called = instructions(program)
    assert not [name for name in names if name.startswith("v")]
    assert not {name for name in called if name.startswith("__aeabi")}
    flash, ram, multiplies = account(program)
    said = constants(tmp_path)
    counted = sum(each.weights + each.bounds for each in integer.accounts)
    states = sum(each.states for each in integer.accounts)
    with capsys.disabled():
        print(
            f"\nflash: {flash:,} bytes, of which tables {said['TABLE_BYTES']:,}"
            f" (account {counted:,}), values of codes {said['LEVEL_BYTES']:,}, and code the rest"
            f"\nRAM: {ram:,} bytes, of which states {states:,} (account)"
            f"\nmultiplications, all of addresses: {multiplies}"
        )
    classes, sums = on_board(integer, frames, tmp_path)
    expected = integer(frames)[0].sum(0)
    assert len(expected.unique(dim=0)) > SAMPLES // 2
    assert torch.equal(sums, expected)
    assert len(classes.unique()) > 1
    assert torch.equal(classes, expected.argmax(1))
    assert said["TABLE_BYTES"] == counted
    assert ram == said["RAM_BYTES"]
    assert multiplies == 0


@pytest.mark.parametrize("seed", range(4))
def test_any_network_on_a_cortex_m3(seed, tmp_path):
    integer = random_network(seed)
    frames = random_frames(integer, seed)
    integer.to_c(tmp_path, prefix=("qsnn", "Net2")[seed % 2])
    assert compiled(tmp_path, "main").exists()  # newlib's C library is not all of C99
    names, called = instructions(compiled(tmp_path))
    assert products(names) or not integer.multiplications
    assert not [name for name in names if name.startswith("v")]
    assert not {name for name in called if re.match("__aeabi_[fd]|__aeabi_.*div", name)}
    _, sums = on_board(integer, frames, tmp_path)
    assert torch.equal(sums, integer(frames)[0].flatten(2).sum(0))
