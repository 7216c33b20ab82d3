"""Integer networks of drawn layers, for the CPU runtime."""

import math

import torch

from qsnn_plugins.export import IntegerNetwork, nodes


def draw(shape, low, high, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high + 1, shape, generator=generator)


def convolution(
    takes, out, kernel, levels, stride=None, padding=None, dilation=None, groups=1, place=0
):
    spatial = len(kernel)
    stride, dilation = stride or (1,) * spatial, dilation or (1,) * spatial
    padding = padding or (0,) * spatial
    codes = torch.tensor(levels)[draw((out, takes[0] // groups, *kernel), 0, len(levels) - 1)]
    sizes = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip(takes[1:], kernel, stride, padding, dilation, strict=True)
    ]
    reach = int(codes.abs().flatten(1).sum(1).max()) * 40000
    codes = codes.to(torch.int8 if codes.abs().max() < 128 or codes.min() == -128 else torch.int16)
    return nodes.Convolution(
        "conv",
        (place,),
        (out, *sizes),
        -reach,
        reach,
        takes,
        codes,
        8,
        levels,
        stride,
        padding,
        dilation,
        groups,
    )


def table(shape, groups, states, outcomes, reach, place=1, seed=3):
    """A neuron whose bounds lie within reach, and some beyond it."""
    bounds = draw((groups, states, outcomes - 1), -reach, reach, seed).sort(-1).values.int()
    if outcomes > 2:
        bounds[..., -1] = 2**31 - 1
        bounds[0, 0, 0] = -(2**31)
    spikes, stored = draw((outcomes,), 0, 3, seed + 1), draw((outcomes,), 0, states - 1, seed + 2)
    return nodes.Neuron(
        "neuron",
        (place,),
        shape,
        0,
        3,
        bounds,
        spikes.to(torch.uint8),
        stored.to(torch.uint8),
        states - 1,
        torch.zeros(1, states, dtype=torch.float64),
        4,
    )


def network(*layers, takes, low=0, high=1):
    """A network of layers between an input and an output that shows the last."""
    shape = layers[-1].shape
    output = nodes.Output(
        "output",
        (len(layers),),
        shape,
        -(2**60),
        2**60,
        draw((1, math.prod(shape)), -3, 3).long() * 2**28,
        draw((math.prod(shape),), -9, 9).long(),
        1.0,
    )
    return IntegerNetwork((nodes.Input("input", (), takes, low, high, 1.0), *layers, output))


def frames(integer, steps=3, samples=2, rate=0.3, seed=5):
    shape = steps, samples, *integer.input.shape
    values = draw(shape, integer.input.low, integer.input.high, seed)
    generator = torch.Generator().manual_seed(seed)
    return torch.where(
        torch.rand(shape, generator=generator) < rate, values, torch.zeros(()).long()
    )
