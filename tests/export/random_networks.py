"""Integer networks drawn at random: every kind of node, whatever a conversion would make of it."""

import math
from contextlib import suppress
from dataclasses import replace

import torch

from qsnn_plugins.errors import ExportError
from qsnn_plugins.export import IntegerNetwork
from qsnn_plugins.export.c.plan import plan
from qsnn_plugins.export.nodes import (
    Convolution,
    Gather,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Output,
    Rescale,
    Sum,
    SumPool,
    WideNeuron,
)
from qsnn_plugins.export.reach import spans

RANGES = (0, 1), (0, 3), (0, 255), (-9, 20), (0, 300)
SIGNED = (-1, 1), (-7, 0), (-128, 127), (-300, 9), (-(2**15), 2**15 - 1)


class Drawn:
    """Draws nodes one behind the other."""

    def __init__(self, seed):
        self.random = torch.Generator().manual_seed(seed)
        self.nodes = []

    def draw(self, low, high, *shape):
        return torch.randint(low, high + 1, shape, generator=self.random)

    def one(self, *choices):
        return choices[int(self.draw(0, len(choices) - 1))]

    def add(self, cls, shape, inputs, low=0, high=0, **values):
        self.nodes.append(cls(f"n{len(self.nodes)}", inputs, tuple(shape), low, high, **values))
        return len(self.nodes) - 1

    def powers(self, most, *shape):
        return (self.draw(0, 1, *shape) * 2 - 1) << self.draw(0, most, *shape)

    def input(self, shape, low, high):
        return self.add(Input, shape, (), low, high, unit=1.0)

    def levels(self):
        return self.one((-1, 1), (-1, 0, 1), (-4, -2, -1, 0, 1, 2, 4), tuple(range(-16, 17)),
                        tuple(range(-100, 101)), (-300, -1, 0, 7, 300), (0, 3))  # fmt: skip

    def codes(self, levels, *shape):
        codes = torch.tensor(levels)[self.draw(0, len(levels) - 1, *shape)]
        return codes.to(torch.int8 if int(codes.abs().max()) < 128 else torch.int16)

    def convolution(self, source):
        channels = self.nodes[source].shape[0]
        groups = self.one(1, 1, channels)
        c_out = groups * self.one(1, 3, 4)
        return self.convolution_of(source, groups, c_out, 3)

    def separable(self, source):
        """A depthwise convolution and a pointwise one."""
        channels = self.nodes[source].shape[0]
        apart = self.convolution_of(source, channels, channels, 3)
        return self.convolution_of(apart, 1, self.one(3, 4), 1)

    def convolution_of(self, source, groups, c_out, widest):
        channels, *sizes = self.nodes[source].shape
        dims = len(sizes)
        kernel = [min(widest, self.one(1, 2, 3)) for _ in range(dims)]
        stride = tuple(self.one(1, 1, 2) for _ in range(dims))
        padding = tuple(self.one(0, 1, 2) for _ in range(dims))
        dilation = tuple(self.one(1, 1, 2) for _ in range(dims))
        kernel = [
            k if size + 2 * p > d * (k - 1) else 1
            for k, size, p, d in zip(kernel, sizes, padding, dilation, strict=True)
        ]
        gives = [
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, p, d, k, s in zip(sizes, padding, dilation, kernel, stride, strict=True)
        ]
        levels = self.levels()
        codes = self.codes(levels, c_out, channels // groups, *kernel)
        return self.add(Convolution, (c_out, *gives), (source,), takes=(channels, *sizes),
                        codes=codes, bits=8, levels=levels, stride=stride, padding=padding,
                        dilation=dilation, groups=groups)  # fmt: skip

    def linear(self, source, count):
        levels = self.levels()
        codes = self.codes(levels, count, math.prod(self.nodes[source].shape))
        return self.add(Linear, (count,), (source,), codes=codes, bits=8, levels=levels)

    def pool(self, source):
        channels, *sizes = self.nodes[source].shape
        cls = self.one(SumPool, MaxPool)
        kernel = tuple(self.one(1, 2) if size > 1 else 1 for size in sizes)
        padding = tuple(self.one(0, k // 2) for k in kernel)
        stride = tuple(self.one(1, 2) for _ in sizes)
        window = zip(sizes, padding, kernel, stride, strict=True)
        gives = [(n + 2 * p - k) // s + 1 for n, p, k, s in window]
        return self.add(cls, (channels, *gives), (source,), takes=(channels, *sizes), kernel=kernel,
                        stride=stride, padding=padding)  # fmt: skip

    def decisions(self, source, states):
        """What neurons share: how many groups, outcomes, and what these send."""
        shape = self.nodes[source].shape
        count = math.prod(shape)
        divisors = [n for n in range(2, count) if count % n == 0] or [1]
        groups = self.one(1, shape[0], count, self.one(*divisors))
        outcomes = self.one(2, 3, 9, 20)
        most = self.one(1, 1, 3, 255)
        values = {
            "spikes": self.draw(0, most, outcomes).to(torch.uint8),
            "next_state": self.draw(0, states - 1, outcomes).to(torch.uint8),
            "first_state": int(self.draw(0, states - 1)),
            "states": torch.zeros(1, states, dtype=torch.float64),
            "bits": max(1, math.ceil(math.log2(states))),
        }
        return shape, groups, outcomes, values, int(values["spikes"].max())

    def neuron(self, source):
        states = self.one(1, 2, 3, 7, 16)
        shape, groups, outcomes, values, most = self.decisions(source, states)
        reach = self.one(5, 100, 3000)
        bounds = self.draw(-reach, reach, groups, states, outcomes - 1).sort(-1).values
        return self.add(Neuron, shape, (source,), 0, most, bounds=bounds.int(), **values)

    def wide_neuron(self, source):
        states = self.one(17, 100, 256)
        shape, groups, outcomes, values, most = self.decisions(source, states)
        bounds = self.draw(-4000, 4000, groups, outcomes - 1).sort(-1).values
        charge = self.draw(-4000, 4000, groups, states)
        return self.add(WideNeuron, shape, (source,), 0, most, bounds=bounds.int(),
                        charge=charge.int(), **values)  # fmt: skip

    def rescale(self, *sources):
        shape = self.nodes[sources[0]].shape
        groups = self.one(1, shape[0], math.prod(shape))
        plain = self.one(True, False)
        multipliers = self.draw(-99, 99, len(sources), groups)
        if plain:
            multipliers = self.powers(9, len(sources), groups)
        return self.add(Rescale, shape, sources, multipliers=multipliers.int(),
                        bias=self.draw(-999, 999, groups).int(), shift=self.one(0, 1, 5),
                        fraction=0)  # fmt: skip

    def sum(self, *sources):
        return self.add(Sum, self.nodes[sources[0]].shape, sources)

    def gather(self, *sources):
        count = sum(math.prod(self.nodes[i].shape) for i in sources)
        shape = self.nodes[sources[0]].shape
        return self.add(Gather, shape, sources, index=self.draw(0, count - 1, *shape).int())

    def output(self, *sources, plain=None):
        count = math.prod(self.nodes[sources[0]].shape)
        plain = self.one(True, False) if plain is None else plain
        multipliers = self.draw(-(10**12), 10**12, len(sources), count)
        if plain:
            multipliers = self.powers(30, len(sources), count)
        return self.add(Output, (count,), sources, multipliers=multipliers,
                        bias=self.draw(-(10**12), 10**12, count), unit=1.0)  # fmt: skip

    @property
    def network(self):
        return IntegerNetwork(
            tuple(
                replace(node, low=span.low, high=span.high)
                for node, span in zip(self.nodes, spans(self.nodes), strict=True)
            )
        )


def random_network(seed):
    """Draw a network of every kind of node, in one to three dimensions."""
    net = Drawn(seed)
    sizes = [net.one(3, 4, 5) for _ in range(1 + seed % 3)]
    low, high = RANGES[seed % len(RANGES)]
    at = net.input((net.one(1, 2, 3), *sizes), low, high)
    for _ in range(2):
        at = net.convolution(at)
        if net.one(True, False):
            # sums that two nodes take lie in memory as a whole
            other = net.neuron(at)
            at = net.wide_neuron(net.rescale(at, other))
        else:
            other = at = net.neuron(at)
        at = net.one(net.pool, net.gather)(at)
        if net.nodes[at].shape == net.nodes[other].shape:
            at = net.one(net.sum, net.gather)(at, other)
    at = net.linear(at, net.one(3, 6))
    if net.one(True, False):
        at = net.linear(net.one(net.neuron, net.wide_neuron)(at), 5)
    net.output(at)
    return net.network


def random_chain(seed):
    """Draw a network whose convolutions take what has a sign, without a neuron in between."""
    for attempt in range(seed, seed + 1000, 50):
        net = Drawn(attempt)
        sizes = [net.one(3, 4, 5) for _ in range(1 + seed % 3)]
        at = net.input((net.one(1, 2, 3), *sizes), *(SIGNED + RANGES)[seed % 10])
        at = net.one(net.convolution, net.separable)(at)
        at = net.one(net.convolution, net.rescale, net.pool)(at)
        at = net.one(net.convolution, net.separable)(at)
        at = net.one(net.neuron, net.pool, net.rescale)(at)
        net.output(net.linear(at, 3))
        with suppress(ExportError):  # of sums beyond 32 bits, another one is drawn
            network = net.network
            plan(network)
            return network
    raise AssertionError(f"no chain of seed {seed} fits in 32 bits")


def random_frames(network, seed, steps=3, samples=3):
    """Draw frames of what the input may be, half of them 0; in the last sample, ends alone."""
    random = torch.Generator().manual_seed(seed)
    shape = steps, samples, *network.input.shape
    low, high = network.input.low, network.input.high
    values = torch.randint(low, high + 1, shape, generator=random)
    values[:, -1] = torch.where(2 * values[:, -1] > low + high, high, low)
    return values * torch.randint(0, 2, shape, generator=random)
