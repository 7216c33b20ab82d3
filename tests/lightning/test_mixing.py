"""The classifier trains on mixed batches: until its epoch, by the data's seed, and resumably."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from qsnn_plugins.data import BatchMixing, FramesDataModule
from qsnn_plugins.data.frames_module import FramesDataset
from qsnn_plugins.lightning import SpikingClassifier
from qsnn_plugins.models import StringNet
from qsnn_plugins.nn import MeanCrossEntropyLoss

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice


class Seen(nn.Module):
    """A loss that writes down the labels of each epoch."""

    def __init__(self):
        super().__init__()
        self.loss, self.model, self.labels = MeanCrossEntropyLoss(0.1), [], {}

    def forward(self, outputs, labels):
        """Return the loss."""
        self.labels.setdefault(self.model[0].current_epoch, []).append(labels.clone())
        return self.loss(outputs, labels)


class Blobs(FramesDataModule):
    """Two classes that differ in the polarity that is active."""

    def __init__(self, seed=0):
        super().__init__(
            num_classes=2, frame_shape=(2, 8, 8), time_steps=4, batch_size=8, seed=seed
        )

    def splits(self):
        labels = np.arange(32) % 2
        frames = np.random.default_rng(0).integers(0, 2, (32, 4, 2, 8, 8), dtype=np.uint8)
        frames[np.arange(32), :, labels] = 0
        return FramesDataset(frames, labels), FramesDataset(frames, labels)


def fit(trainer, mixing, seed=0, epochs=3, data=None, **arguments):
    torch.manual_seed(0)
    adam = torch.optim.Adam
    loss = Seen()
    model = SpikingClassifier(
        StringNet("8C3-AP2-8C3-GAP-FC2"),
        loss=loss,
        optimizer=lambda parameters: adam(parameters, lr=1e-2),
        mixing=mixing,
    )
    loss.model.append(model)
    built = trainer(max_epochs=epochs)
    built.fit(model, Blobs(seed) if data is None else data, **arguments)
    return loss.labels, built, model


def alike(one, other):
    return one.keys() == other.keys() and all(
        torch.equal(a, b) for e in one for a, b in zip(one[e], other[e], strict=True)
    )


def test_labels_are_soft_until_the_epoch(trainer):
    labels, _, _ = fit(trainer, BatchMixing(until_epoch=2), epochs=4)
    assert [labels[epoch][0].dim() for epoch in range(4)] == [2, 2, 1, 1]
    for soft in labels[0]:
        assert soft.shape == (8, 2)
        assert torch.allclose(soft.sum(1), torch.ones(8))


def test_without_mixing_labels_are_hard(trainer):
    labels, _, _ = fit(trainer, None, epochs=1)
    assert all(batch.dtype == torch.int64 for batch in labels[0])


def mixed_once(seed=0, epoch=0, process=0, batch=0):
    """Mix one batch outside of a trainer; the classes have each a silent polarity."""
    model = SpikingClassifier(StringNet("4C3-GAP-FC2"), mixing=BatchMixing())
    model.trainer = SimpleNamespace(
        datamodule=SimpleNamespace(seed=seed), current_epoch=epoch, global_rank=process
    )
    frames = torch.zeros(4, 3, 2, 5, 5, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 1, 0])
    frames[torch.arange(4), :, labels] = 1
    return model._mix(model.mixing, frames, labels, batch)


def test_the_frames_are_mixed_with_the_labels():
    mixed, soft = mixed_once()
    assert not torch.equal(soft, soft.round())
    assert torch.allclose(mixed.mean((1, 3, 4)), soft)


def test_seed_epoch_process_and_batch_decide():
    first = mixed_once()[1]
    assert torch.equal(mixed_once()[1], first)
    for name in ("seed", "epoch", "process", "batch"):
        assert not torch.equal(mixed_once(**{name: 3})[1], first), name


def test_validation_counts_hits_of_hard_labels_and_learns(trainer):
    labels, built, _ = fit(trainer, BatchMixing(mixup=0.5), epochs=15)
    assert built.callback_metrics["val_accuracy"] == 1.0
    assert set(built.callback_metrics) == {"train_loss", "val_accuracy"}
    assert all(batch.dim() == 2 for epoch in labels.values() for batch in epoch)


def test_the_datas_seed_decides(trainer):
    mixing = BatchMixing(mixup=0.5, cutmix=1.0)
    first, again, other = (fit(trainer, mixing, seed=s, epochs=2)[0] for s in (3, 3, 4))
    assert alike(first, again)
    assert not alike(first, other)
    shares = [torch.cat(epoch).max(1).values for epoch in first.values()]
    assert not torch.equal(*shares), "another epoch draws otherwise"


def test_loaders_without_a_seed_are_mixed_too(trainer, loader):
    labels, _, _ = fit(trainer, BatchMixing(), epochs=1, data=loader)
    assert labels[0][0].shape == (8, 2)


def test_a_resumed_run_goes_on_as_it_would_have(trainer):
    mixing = BatchMixing(mixup=0.8, cutmix=1.0, probability=0.8)
    whole, _, _ = fit(trainer, mixing, epochs=3)
    _, built, _ = fit(trainer, mixing, epochs=1)
    path = built.checkpoint_callback.best_model_path
    resumed, _, _ = fit(trainer, mixing, epochs=3, ckpt_path=path)
    assert alike(resumed, {1: whole[1], 2: whole[2]})
