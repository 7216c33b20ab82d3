"""DistributedDataParallel: two processes train as one does, but for what belongs to a batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import snntorch
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from qsnn_plugins import MembraneSpec, QuantSpec, ThresholdSpec, WeightSpec, inject
from qsnn_plugins.snntorch import reset_net

ROOT = Path(__file__).parents[2]
SHARE = 4
SPEC = QuantSpec(
    membrane=MembraneSpec(kind="uniform", bits=4, scale="learned", scale_value=1.5),
    threshold=ThresholdSpec(gradient="ordinary"),
    weight=WeightSpec(kind="power_of_two", bits=4),
)
AVERAGED = QuantSpec(membrane=MembraneSpec(kind="uniform", bits=4, scale="running"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not distributed.is_available() or not distributed.is_gloo_available(),
        reason="there is no gloo",
    ),
]


class Tutorial(nn.Module):
    """As snnTorch's tutorials write it: the forward loops over the steps."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 20), snntorch.Leaky(beta=0.8, init_hidden=True)
        self.fc2 = nn.Linear(20, 3)

    def forward(self, x_seq):
        return torch.stack([self.fc2(self.lif1(self.fc1(x))) for x in x_seq])


def build(host, spec):
    torch.manual_seed(0)
    if host == "snntorch":
        network = Tutorial()
    else:
        network = nn.Sequential(layer.Linear(6, 20), neuron.LIFNode(), layer.Linear(20, 3))
        functional.set_step_mode(network, "m")
    inject(network, spec, overrides={"fc2" if host == "snntorch" else "2": None})
    return network


def reset(network, host):
    {"snntorch": reset_net, "spikingjelly": functional.reset_net}[host](network)


def batches():
    return torch.randn(4, 5, 2 * SHARE, 6, generator=torch.Generator().manual_seed(1)) * 2


def trained(network, host, share=slice(None)):
    """What a training by SGD makes of a network's parameters and buffers."""
    inner = getattr(network, "module", network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for x_seq in batches():
        reset(inner, host)
        optimizer.zero_grad()
        network(x_seq[:, share]).square().mean().backward()
        optimizer.step()
    reset(inner, host)
    return {name: value for name, value in inner.state_dict().items() if torch.is_tensor(value)}


def averages(network, x_seq):
    """The running average after a pass of training, and what the next pass begins with."""
    inner = getattr(network, "module", network)
    found = []
    for mode in (True, False):
        functional.reset_net(inner)
        network.train(mode)(x_seq)
        found += [value.clone() for name, value in inner.named_buffers() if name.endswith("scale")]
    return torch.stack(found)


def work(rank, folder):
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    share = slice(SHARE * rank, SHARE * (rank + 1))
    found = {
        host: trained(DistributedDataParallel(build(host, SPEC)), host, share)
        for host in ("spikingjelly", "snntorch")
    }
    network = DistributedDataParallel(build("spikingjelly", AVERAGED))
    found["averages"] = averages(network, batches()[0][:, share])
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.barrier()
    os._exit(0)  # a torch that tears the group down may wait for a thread that waits for it


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("ranks")
    # as a module from the root: the package need not be installed
    module = f"tests.hosts.{Path(__file__).stem}"
    commands = [[sys.executable, "-m", module, str(rank), str(folder)] for rank in (0, 1)]
    workers = [subprocess.Popen(command, cwd=ROOT) for command in commands]
    assert [worker.wait(timeout=240) for worker in workers] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("host", ["spikingjelly", "snntorch"])
def test_two_processes_train_as_one(ranks, host):
    first, second = (found[host] for found in ranks)
    begun = {
        name: value.clone()
        for name, value in build(host, SPEC).state_dict().items()
        if torch.is_tensor(value)
    }
    theirs = trained(build(host, SPEC), host)
    assert first.keys() == second.keys() == theirs.keys()
    # weights of both layers, the quantizer's scale, the threshold and the membrane's scale
    moved = [name for name in theirs if not torch.equal(theirs[name], begun[name])]
    assert len(moved) >= 7, moved
    for name, expected in theirs.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], expected, rtol=1e-5, atol=1e-6)


def test_a_running_average_is_that_of_the_first_process(ranks):
    alone = averages(build("spikingjelly", AVERAGED), batches()[0][:, :SHARE])
    first, second = (found["averages"] for found in ranks)
    assert torch.equal(first, alone)
    assert second[0] != first[0]  # each sees its own share
    assert second[1] == first[1]  # until the next pass


if __name__ == "__main__":
    work(int(sys.argv[1]), sys.argv[2])
