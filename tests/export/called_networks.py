"""Small networks of both hosts, in the ways in which people write and call them."""

import snntorch as snn
import torch
from snntorch import utils
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from qsnn_plugins import inject, presets

STEPS = 4  # of networks that know how many


class Used(nn.Module):
    """Answers with what `use` makes of a network's answer."""

    def __init__(self, network, use):
        super().__init__()
        self.network, self.use = network, use

    def forward(self, x):
        return self.use(self.network(x))


class Loop(nn.Module):
    """Two layers of snnTorch, and a step that may be changed."""

    def __init__(self, hidden=False, **how):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(12, 9), nn.Linear(9, 5)
        self.other = nn.Linear(12, 9)
        self.lif1, self.lif2 = (snn.Leaky(0.8, init_hidden=hidden, **how) for _ in range(2))

    def steps(self, x, change=lambda t, m1, m2: (m1, m2)):
        m1, m2, sent = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for t, step in enumerate(x):
            s1, m1 = self.lif1(self.fc1(step), m1)
            s2, m2 = self.lif2(self.fc2(s1), m2)
            m1, m2 = change(t, m1, m2)
            sent.append(s2)
        return torch.stack(sent)

    def forward(self, x):
        return self.steps(x)


class Answers(Loop):
    """Answers with what `use` makes of all steps."""

    def __init__(self, use):
        super().__init__()
        self.use = use

    def forward(self, x):
        return self.use(self.steps(x))


class Shown(Answers):
    """Sees what `use` makes of the input."""

    def forward(self, x):
        return self.steps(self.use(x))


class Changed(Answers):
    """Changes membranes between steps."""

    def forward(self, x):
        return self.steps(x, self.use)


class MadeAnew(Loop):
    def forward(self, x):
        return torch.stack([self.lif1(self.fc1(step), self.lif1.init_leaky())[0] for step in x])


class ResetInside(Loop):
    def __init__(self):
        super().__init__(hidden=True)

    def forward(self, x):
        sent = []
        for step in x:
            utils.reset(self)
            sent.append(self.lif2(self.fc2(self.lif1(self.fc1(step)))))
        return torch.stack(sent)


class OtherLayers(Loop):
    def forward(self, x):
        membrane, sent = self.lif1.init_leaky(), []
        for t, step in enumerate(x):
            spikes, membrane = self.lif1((self.other if t % 2 else self.fc1)(step), membrane)
            sent.append(spikes)
        return torch.stack(sent)


class BeginsElsewhere(Loop):
    def forward(self, x):
        membrane, sent = torch.ones(x.shape[1], 9), []
        for step in x:
            spikes, membrane = self.lif1(self.fc1(step), membrane)
            sent.append(spikes)
        return torch.stack(sent)


class OtherThresholds(Loop):
    def forward(self, x):
        membrane, sent = self.lif1.init_leaky(), []
        for t, step in enumerate(x):
            self.lif1.threshold = torch.tensor(1.0 + t / 2)
            spikes, membrane = self.lif1(self.fc1(step), membrane)
            sent.append(spikes)
        return torch.stack(sent)


class FedBack(Loop):
    def forward(self, x):
        membrane, sent = self.lif1.init_leaky(), []
        spikes = torch.zeros(x.shape[1], 9)
        for step in x:
            spikes, membrane = self.lif1(self.fc1(step) + 0.5 * spikes, membrane)
            sent.append(spikes)
        return torch.stack(sent)


class Twice(Loop):
    """One neuron in two places."""

    def __init__(self):
        super().__init__()
        self.fc3 = nn.Linear(9, 9)

    def forward(self, x):
        m, sent = self.lif1.init_leaky(), []
        for step in x:
            spikes, m = self.lif1(self.fc1(step), m)
            spikes, m = self.lif1(self.fc3(spikes), m)
            sent.append(spikes)
        return torch.stack(sent)


class OneStep(Loop):
    """Takes one step and keeps its membranes inside."""

    def __init__(self, use=lambda self, y: y):
        super().__init__(hidden=True)
        self.use = use

    def forward(self, x):
        return self.use(self, self.lif2(self.fc2(self.lif1(self.fc1(x)))))


def filtered(self, y):
    """A state beside the neurons."""
    self.kept = y + 0.5 * getattr(self, "kept", 0.0)
    return self.kept


def alternating(self, y):
    self.count = getattr(self, "count", 0) + 1
    return y * (self.count % 2)


def remembered(self, y):
    """Lists of what still has a graph."""
    self.record = {"all": [*getattr(self, "record", {"all": []})["all"], y]}
    return y


class Still(nn.Module):
    """The shape of snnTorch's tutorials: a still image, shown at each step."""

    def __init__(self, use=lambda sent, drawn: (torch.stack(sent), torch.stack(drawn))):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(36, 9), snn.Leaky(0.8)
        self.fc2, self.lif2 = nn.Linear(9, 5), snn.Leaky(0.8)
        self.use = use

    def forward(self, x):
        m1, m2, sent, drawn = self.lif1.init_leaky(), self.lif2.init_leaky(), [], []
        for _ in range(STEPS):
            s1, m1 = self.lif1(self.fc1(x.flatten(1)), m1)
            s2, m2 = self.lif2(self.fc2(s1), m2)
            sent.append(s2)
            drawn.append(m2)
        return self.use(sent, drawn)


class KnownSteps(Still):
    """Loops over a number of steps that it knows."""

    def forward(self, x):
        m1, sent = self.lif1.init_leaky(), []
        for t in range(STEPS):
            spikes, m1 = self.lif1(self.fc1(x[t].flatten(1)), m1)
            sent.append(spikes)
        return torch.stack(sent)


def convolutions():
    """A network of one channel, of SpikingJelly."""
    return nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        neuron.IFNode(),
        layer.MaxPool2d(2, 2),
        layer.Conv2d(4, 6, 3),
        neuron.LIFNode(),
        layer.Flatten(),
        layer.Linear(6, 5, bias=False),
        neuron.LIFNode(),
    )


class StillJelly(nn.Module):
    """The shape of SpikingJelly's tutorials: a still image that is repeated over time."""

    def __init__(self, use=lambda y: y.mean(0), encodes=False):
        super().__init__()
        self.encoder = layer.Conv2d(1, 1, 1) if encodes else nn.Identity()
        self.network, self.use = convolutions(), use
        functional.set_step_mode(self.network, "m")

    def forward(self, x):
        x = self.encoder(x)
        return self.use(self.network(x.unsqueeze(0).repeat(STEPS, 1, 1, 1, 1)))


class Rate(nn.Module):
    """SpikingJelly's loop over single steps."""

    def __init__(self, between=lambda network, t: None, use=lambda y: y / STEPS):
        super().__init__()
        self.network, self.between, self.use = convolutions(), between, use

    def forward(self, x):
        total = 0.0
        for t in range(STEPS):
            self.between(self.network, t)
            total = total + self.network(x)
        return self.use(total)


def leaking(network, t):
    """Change the first membrane by hand."""
    if t:
        network[2].v = network[2].v * 0.5


class Jelly(nn.Module):
    """All steps of SpikingJelly at once."""

    def __init__(self, use=lambda y, network: y, shown=lambda x: x):
        super().__init__()
        self.network, self.use, self.shown = convolutions(), use, shown
        functional.set_step_mode(self.network, "m")

    def forward(self, x):
        return self.use(self.network(self.shown(x)), self.network)


def quantized(network, seed=0):
    """Quantize a network, and draw weights that make its neurons fire."""
    torch.manual_seed(seed)
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -0.6, 0.9)
    inject(network, presets.imsnn(weight_bits=4))
    return network.eval()
