"""Learned scales under SGD at a high rate: they settle, and evaluation is as good as training."""

import copy

import pytest
import torch
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from qsnn_plugins import presets
from qsnn_plugins.data import Digits
from qsnn_plugins.models import StringNet
from qsnn_plugins.nn import layer_quantizer, parameter_groups, weight_layers

STEPS, TIME_STEPS = 150, 2


def accuracy(network, images, labels):
    with torch.no_grad():
        network.reset_states()
        logits = network(images.expand(TIME_STEPS, *images.shape)).mean(0)
    return float((logits.argmax(1) == labels).float().mean())


@pytest.mark.slow
def test_power_of_two_weights_train_under_sgd_at_a_tenth():
    """Without the division of their gradient the scales jump 40 times and more."""
    torch.manual_seed(0)
    data = Digits(size=8, batch_size=64)
    data.prepare_data()
    data.setup()
    test = [torch.cat(part) for part in zip(*data.test_dataloader(), strict=True)]
    channels, *size = data.frame_shape
    network = StringNet(
        "32C3-64C3-AP2-64C3-GAP-FC10",
        in_channels=channels,
        input_size=tuple(size),
        spec=presets.imsnn(weight_bits=4),
    )
    quantizers = [layer_quantizer(layer) for layer in weight_layers(network).values()]
    optimizer = torch.optim.SGD(parameter_groups(network), lr=0.1, momentum=0.9, weight_decay=5e-4)
    used, jumps, gaps, step = [q.scale.item() for q in quantizers], 0, [], 0
    while step < STEPS:
        for images, labels in data.train_dataloader():
            network.train()
            network.reset_states()
            logits = network(images.expand(TIME_STEPS, *images.shape)).mean(0)
            optimizer.zero_grad()
            F.cross_entropy(logits, labels).backward()
            optimizer.step()
            now = [q.scale.item() for q in quantizers]
            jumps += sum(a != b for a, b in zip(used, now, strict=True))
            used, step = now, step + 1
            if step % 10 == 0 and step > STEPS // 2:
                network.eval()
                network.reset_states()
                by_batch = copy.deepcopy(network)
                for module in by_batch.modules():
                    module.train(isinstance(module, _BatchNorm))
                gaps.append(accuracy(by_batch, *test) - accuracy(network, *test))
    assert len(quantizers) == 4
    assert jumps <= 6
    assert sorted(gaps)[len(gaps) // 2] < 0.03
    network.eval()
    assert accuracy(network, *test) > 0.95
