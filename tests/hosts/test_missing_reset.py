"""A state kept across a backward is named, with what resets it, in both hosts."""

import io

import pytest
import torch
from spikingjelly.activation_based import functional
from torch import nn

from qsnn_plugins.errors import QSNNError, StateError
from qsnn_plugins.snntorch import MultiStep, TernaryLeaky, reset_net
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spikingjelly import QuantLIFNode, TernaryLIFNode

JELLY, TORCH = "functional.reset_net", "qsnn_plugins.snntorch.reset_net"
NEURONS = {
    "kernel": (lambda: TernaryLIFNode(step_mode="m"), JELLY, torch.float32),
    "loop": (lambda: TernaryLIFNode(step_mode="m"), JELLY, torch.float64),
    "step by step": (lambda: TernaryLIFNode(), JELLY, torch.float32),
    "plain": (
        lambda: QuantLIFNode(step_mode="m", spec=QuantSpec.full_precision()),
        *(JELLY, torch.float32),
    ),
    "snntorch": (lambda: TernaryLeaky(0.5, init_hidden=True), TORCH, torch.float32),
    "snntorch, reset now": (
        lambda: TernaryLeaky(0.5, init_hidden=True, reset_delay=False),
        *(TORCH, torch.float32),
    ),
    "snntorch, kernel": (
        lambda: MultiStep(TernaryLeaky(0.5, init_hidden=True)),
        *(TORCH, torch.float32),
    ),
}
every_neuron = pytest.mark.parametrize(
    ("build", "reset", "dtype"), NEURONS.values(), ids=NEURONS.keys()
)


def network_of(build, dtype):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), build(), nn.Linear(6, 2)).to(dtype)


def run(network, x):
    if isinstance(network[1], MultiStep) or getattr(network[1], "step_mode", "s") == "m":
        return network(x).sum()
    return sum(network(step) for step in x).sum()


@every_neuron
def test_a_missing_reset_is_named(build, reset, dtype):
    network, x = network_of(build, dtype), torch.rand(4, 3, 5, dtype=dtype)
    run(network, x).backward()
    loss = run(network, x)
    with pytest.raises(StateError, match=reset) as caught:
        loss.backward()
    assert isinstance(caught.value, QSNNError)
    assert isinstance(caught.value, RuntimeError)


@every_neuron
def test_a_state_that_may_go_on_does(build, reset, dtype):
    network, x = network_of(build, dtype), torch.rand(4, 3, 5, dtype=dtype)
    for _ in range(2):
        run(network, x).backward(retain_graph=True)
    for forget in (functional.reset_net, reset_net):
        if reset == (JELLY if forget is functional.reset_net else TORCH):
            forget(network)
    run(network, x).backward()
    with torch.no_grad():
        run(network, x)
    for node in network.modules():  # as truncated backpropagation through time does
        for name in ("v", "mem"):
            if isinstance(getattr(node, name, None), torch.Tensor):
                setattr(node, name, getattr(node, name).detach())
    run(network, x).backward()


@pytest.mark.parametrize("name", ["kernel", "step by step", "snntorch"])
def test_a_trace_of_torch_jit_points_to_torch_export(name):
    build, _, dtype = NEURONS[name]
    network = network_of(build, dtype).eval()
    x = torch.rand(4, 3, 5) if name == "kernel" else torch.rand(3, 5)
    with torch.no_grad():
        with pytest.raises(QSNNError, match=r"torch\.export\.export takes it"):
            torch.jit.trace(network, x)
        with pytest.raises(QSNNError, match=r"torch\.export\.export takes it"):
            torch.onnx.export(network, (x,), io.BytesIO(), dynamo=False)  # needs no onnx until here
        torch.export.export(network, (x,))
