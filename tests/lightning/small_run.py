"""A training that has all that a resumption can lose, small enough to be run many times."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from qsnn_plugins.data.base import BaseDataModule
from qsnn_plugins.lightning import SpikingClassifier
from qsnn_plugins.models import StringNet


class Data(BaseDataModule):
    """Five batches in an order of each epoch; `seen` has the batches in which items came."""

    def __init__(self, **options):
        options = {"batch_size": 4, **options}
        super().__init__(num_classes=2, frame_shape=(2, 8, 8), time_steps=3, **options)
        self.seen = []

    def split(self, name):
        generator = torch.Generator().manual_seed(0)
        frames = (torch.rand(18, 3, 2, 8, 8, generator=generator) < 0.4).to(torch.uint8)
        frames[:, 0, 0, 0, 0] = torch.arange(18)
        return TensorDataset(frames, torch.arange(18) % 2)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        if self.trainer.training:
            self.seen.append(batch[0][:, 0, 0, 0, 0].tolist())
        return batch


def build(**options):
    """A quantized classifier with momentum and dropout."""
    torch.manual_seed(7)
    network = StringNet("4C3-AP2-4C3-GAP-FC2", spec="imsnn")
    network.blocks.append(nn.Dropout(0.3))
    return SpikingClassifier(network, optimizer=lambda p: torch.optim.SGD(p, 0.05, 0.9), **options)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
