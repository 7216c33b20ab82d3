"""Under gradient checkpointing the recomputed pass repeats the first: gradients and averages."""

import copy

import pytest
import torch
from spikingjelly.activation_based import functional
from torch import nn
from torch.utils.checkpoint import checkpoint

from qsnn_plugins.nn import MembranePruning, UniformMembrane
from qsnn_plugins.snntorch import MultiStep, QuantLeaky, reset_net
from qsnn_plugins.spec import MembraneSpec, PruningSpec, QuantSpec
from qsnn_plugins.spikingjelly import KBitLIFNode, QuantLIFNode


class Steps(nn.Module):
    """A neuron of one step, in a loop."""

    def __init__(self, neuron):
        super().__init__()
        self.neuron = neuron

    def forward(self, x_seq):
        return torch.stack([self.neuron(x) for x in x_seq])


def leaky(scale):
    membrane = MembraneSpec(kind="uniform", bits=4, scale=scale)
    return QuantLeaky(0.5, init_hidden=True, spec=QuantSpec(membrane))


NEURONS = {
    "spikingjelly": lambda scale: KBitLIFNode(bits=4, scale=scale, step_mode="m"),
    "spikingjelly, step by step": lambda scale: Steps(KBitLIFNode(bits=4, scale=scale)),
    "snntorch": lambda scale: MultiStep(leaky(scale)),
    "snntorch, step by step": lambda scale: Steps(leaky(scale)),
}


class Block(nn.Module):
    """Layers whose neurons begin each pass at rest, as a checkpoint needs it."""

    def __init__(self, neuron, scale):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            *(nn.Linear(6, 20), NEURONS[neuron](scale)),
            *(nn.Linear(20, 20), NEURONS[neuron](scale), nn.Linear(20, 2)),
        )
        for parameter in self.parameters():
            parameter.data *= 4  # all of them fire

    def forward(self, x_seq):
        functional.reset_net(self)
        reset_net(self)
        return self.layers(x_seq)


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("scale", ["running", "step_max"])
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.covering(2)
def test_gradients_and_averages_are_those_without_checkpoints(neuron, scale, use_reentrant, passes):
    plain = Block(neuron, scale)
    kept = copy.deepcopy(plain)
    generator = torch.Generator().manual_seed(1)
    for size in (1.0, 3.0, 0.7):
        inputs = [torch.randn(5, 3, 6, generator=generator) * size for _ in range(passes)]
        inputs = [x.requires_grad_() for x in inputs]
        for network, run in (
            (plain, plain),
            (kept, lambda x: checkpoint(kept, x, use_reentrant=use_reentrant)),
        ):
            network.zero_grad()
            sum(run(x).square().sum() for x in inputs).backward()
            torch.optim.SGD(network.parameters(), lr=1e-3).step()
        for name, parameter in plain.named_parameters():
            assert parameter.grad.abs().max() > 0
            assert torch.equal(kept.get_parameter(name).grad, parameter.grad), name
        averages = {name: b for name, b in plain.named_buffers() if ".membrane." in name}
        assert len(averages) == 4
        for name, buffer in averages.items():
            assert torch.equal(kept.get_buffer(name), buffer), name


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_what_is_pruned_is_counted_once(use_reentrant):
    spec = QuantSpec(pruning=PruningSpec(spatial_ratio=0.5))
    node = QuantLIFNode(step_mode="m", spec=spec)
    x = torch.randn(4, 2, 10, requires_grad=True)

    def run(x):
        node.reset()
        return node(x)

    spikes = checkpoint(run, x, use_reentrant=use_reentrant)
    pruning: MembranePruning = node.pruning
    first = pruning._total.clone()
    spikes.sum().backward()
    assert torch.equal(pruning._total, first)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_passes_over_equal_inputs_are_told_apart_by_their_order(use_reentrant):
    def gradient(run):
        membrane = UniformMembrane(MembraneSpec(kind="uniform", bits=4, scale="running"))
        scale = torch.tensor(1.0, requires_grad=True)
        steps = torch.tensor([[0.9, 0.1], [3.0, 0.2], [0.9, 0.1]])
        weights = torch.tensor([1.0, 10.0, 100.0])
        sent = [run(membrane, step * scale) for step in steps]
        sum(w * (q**2).sum() for w, q in zip(weights, sent, strict=True)).backward()
        return scale.grad

    kept = gradient(lambda membrane, x: checkpoint(membrane, x, use_reentrant=use_reentrant))
    assert torch.equal(gradient(lambda membrane, x: membrane(x)), kept)
