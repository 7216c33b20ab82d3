"""The fused neuron under DistributedDataParallel: two processes train as one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from spikingjelly.activation_based import functional, layer
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from qsnn_plugins.spec import QuantSpec, ThresholdSpec
from qsnn_plugins.spikingjelly import QuantLIFNode

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not distributed.is_available() or not distributed.is_gloo_available(), reason="there is no gloo"
)


def build():
    torch.manual_seed(0)
    spec = QuantSpec(threshold=ThresholdSpec(gradient="ordinary"))
    parts = nn.Linear(6, 20), QuantLIFNode(step_mode="m", spec=spec), nn.Linear(20, 3)
    return nn.Sequential(layer.SeqToANNContainer(parts[0]), *parts[1:])


def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, 8, 6, generator=generator) * 2


def gradients(network, x_seq):
    functional.reset_net(network)
    network(x_seq).square().mean().backward()
    return [parameter.grad for parameter in network.parameters()]


def work(rank, folder):
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    network = DistributedDataParallel(build())
    share = batch()[:, 4 * rank : 4 * rank + 4]
    torch.save(gradients(network, share), f"{folder}/{rank}.pt")
    distributed.barrier()
    os._exit(0)  # a torch that tears the group down may wait for a thread that waits for it


def test_two_processes_have_the_gradients_of_one(tmp_path):
    # as a module from the root: the package need not be installed
    module = f"tests.spikingjelly.{Path(__file__).stem}"
    commands = [[sys.executable, "-m", module, str(rank), str(tmp_path)] for rank in (0, 1)]
    workers = [subprocess.Popen(command, cwd=ROOT) for command in commands]
    assert [worker.wait(timeout=240) for worker in workers] == [0, 0]
    ours = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    theirs = gradients(build(), batch())
    assert all(gradient.abs().max() > 1e-3 for gradient in theirs)
    for first, second, expected in zip(*ours, theirs, strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, expected, rtol=1e-5, atol=1e-6)


if __name__ == "__main__":
    work(int(sys.argv[1]), sys.argv[2])
