"""How many spikes of a float network and of its integers differ, on a whole test set.

    python tests/benchmarks/integer_exactness.py DATA/cifar10 DATA/nmnist

DATA are folders as `CIFAR10` and `NMNIST` take them. The networks are drawn, their normalization
is that of one batch: what is compared is arithmetic, not accuracy.
"""

from __future__ import annotations

import argparse
from itertools import islice

import torch
from torch import nn

from qsnn_plugins import export, inject, presets
from qsnn_plugins.data import CIFAR10, NMNIST
from qsnn_plugins.models import ResidualNet, StringNet


def main() -> None:
    """Print one table per network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("cifar10")
    parser.add_argument("nmnist")
    parser.add_argument("--batches", type=int, help="test batches of each, all by default")
    options = parser.parse_args()
    torch.manual_seed(0)
    images = CIFAR10(options.cifar10, batch_size=50, num_workers=0)
    events = NMNIST(options.nmnist, batch_size=50, num_workers=0, time_steps=10)
    for name, network, data, steps in (
        ("ResNet-19 at 1/8 width, ternary and 4 bits", residual(), images, 2),
        ("SEW-ResNet-18, ternary and 4 bits", sew(), images, 2),
        ("convolutions on N-MNIST, ternary and 4 bits", recorded(), events, None),
    ):
        check(name, network, data, steps, options.batches)


def check(name, network, data, steps, count) -> None:
    """Calibrate, convert and compare one network."""
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # the plain average of what follows
    with torch.no_grad():
        for _ in range(3):
            reset(network)
            network(major(next(iter(data.train_dataloader()))[0], steps))
    network.eval()
    first = major(next(iter(data.test_dataloader()))[0], steps)
    integer = export.to_integer(network, first)
    batches = (
        (major(frames, steps), labels) for frames, labels in islice(data.test_dataloader(), count)
    )
    print(f"\n{name}: {type(data).__name__}, {integer.multiplications} multiplications per step")
    print(export.verify(network, integer, batches, compiled=integer.compile()), flush=True)


def major(frames, steps):
    """Return [T, N, ...] of data."""
    frames = frames.float()
    return frames.transpose(0, 1) if steps is None else frames.expand(steps, *frames.shape)


def reset(network: nn.Module) -> None:
    """Forget all states."""
    from qsnn_plugins.cost.neurons import reset_states

    reset_states(network)


def residual() -> nn.Module:
    """Return a narrow ResNet-19."""
    return ResidualNet(19, width=0.125, spec=presets.imsnn(weight_bits=4))


def sew() -> nn.Module:
    """Return a SEW-ResNet-18 of the host, injected."""
    from spikingjelly.activation_based import functional, neuron
    from spikingjelly.activation_based.model import sew_resnet

    network = sew_resnet.sew_resnet18(cnf="ADD", spiking_neuron=neuron.IFNode, num_classes=10)
    inject(network, presets.imsnn(weight_bits=4))
    functional.set_step_mode(network, "m")
    return network


def recorded() -> nn.Module:
    """Return a network for recordings of 34 x 34."""
    return StringNet("16C3-AP2-32C3-AP2-64C3-GAP-FC10", 2, spec=presets.imsnn(weight_bits=4))


if __name__ == "__main__":
    main()
