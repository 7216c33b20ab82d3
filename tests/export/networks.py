"""Small networks with random weights and normalization, whose neurons fire."""

import torch
from torch import nn

import qsnn_plugins  # noqa: F401  (before torchvision is imported by a host)
from qsnn_plugins import export, presets
from qsnn_plugins.cost.neurons import is_multi_step, reset_states
from qsnn_plugins.models import StringNet

STRING = "8C3-AP2-16C3-MP2-GAP-FC6"


def waken(network, seed=0):
    """Draw normalization and thresholds: gains of either sign, means that are not 0."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor, low, high):
        tensor.data.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            draw(module.weight, -2.0, 2.0)
            draw(module.bias, -1.0, 1.0)
            draw(module.running_mean, -0.2, 0.2)
            draw(module.running_var, 0.02, 0.3)
    for name, parameter in network.named_parameters():
        if name.endswith(("v_threshold", "neuron.threshold")):
            draw(parameter, 0.6, 1.4)
    return network.eval()


def string_net(spec=None, host="spikingjelly", string=STRING, channels=2, seed=0):
    """Return a network of a string."""
    torch.manual_seed(seed)
    network = StringNet(
        string, in_channels=channels, spec=spec or presets.imsnn(weight_bits=4), host=host
    )
    return waken(network, seed)


def counts(steps=4, samples=3, shape=(2, 8, 8), high=3, seed=1):
    """Return event counts [T, N, ...]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, high, (steps, samples, *shape), generator=generator).float()


def run_float(network, x, names):
    """Run a network; return its answer, and the spikes of its neurons [T, N, ...] by name."""
    seen, handles = {}, []
    modules = dict(network.named_modules())
    for name in names:

        def note(module, args, output, name=name):
            spikes = output[0] if isinstance(output, tuple) else output
            steps = spikes.unbind() if is_multi_step(module) else [spikes]
            seen.setdefault(name, []).extend(steps)

        handles.append(modules[name].register_forward_hook(note))
    reset_states(network)
    with torch.no_grad():
        answer = network(x)
    for handle in handles:
        handle.remove()
    return answer, {name: torch.stack(spikes) for name, spikes in seen.items()}


def check(network, x, **how):
    """The same spikes, and answers within what the float network rounds."""
    integer = export.to_integer(network, x, **how)
    answer, spikes = run_float(network, x, integer.neurons)
    state = {}
    answers, own = integer(x, state)
    for name, wanted in spikes.items():
        assert torch.equal(own[name].double(), wanted.double()), name
    for name, node in integer.neurons.items():
        neuron = network.get_submodule(name)
        stored = neuron.v if hasattr(neuron, "v") else neuron.mem
        levels = node.states.expand(len(stored[0]), -1)  # [C, states]
        rows = levels.repeat_interleave(state[name].shape[1] // len(levels), 0)
        values = rows.gather(1, state[name].T.long()).T.reshape(stored.shape)
        assert torch.equal(values, stored.double() + 0.0), name
    found = answers.double() * integer.output.unit
    while isinstance(answer, tuple):
        answer = answer[0]
    assert torch.allclose(found, answer.double().reshape(found.shape), rtol=1e-5, atol=1e-5)
    return integer
