"""What every data module shares."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from qsnn_plugins.data import FramesDataModule
from qsnn_plugins.data.frames_module import FramesDataset
from qsnn_plugins.errors import ArgumentError

from lightning import LightningModule, Trainer  # isort: skip  (only after torchvision's operators are registered)


class Numbered(FramesDataModule):
    """Item i of the training split is filled with i, of the test split with 100 + i."""

    def __init__(self, **settings):
        super().__init__(num_classes=3, frame_shape=(2, 4, 5), time_steps=6, **settings)
        self.loads = 0

    def splits(self):
        self.loads += 1
        frames = np.ones((20, 6, 2, 4, 5), dtype=np.uint8)
        number = np.arange(20, dtype=np.uint8).reshape(-1, 1, 1, 1, 1)
        labels = np.arange(20) % 3
        return (
            FramesDataset(frames * number, labels),
            FramesDataset((frames * (100 + number))[:7], labels[:7]),
        )


def order(loader):
    return [int(frame[0, 0, 0, 0]) for frames, _ in loader for frame in frames]


def test_batches_have_the_promised_form():
    data = Numbered(batch_size=8)
    frames, labels = next(iter(data.train_dataloader()))
    assert frames.shape == (8, data.time_steps, *data.frame_shape)
    assert frames.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert labels.tolist() == [int(frame[0, 0, 0, 0]) % 3 for frame in frames]


def test_an_epoch_has_every_item_once():
    assert sorted(order(Numbered(batch_size=8).train_dataloader())) == list(range(20))


def test_val_test_and_predict_read_the_test_split_in_order():
    data = Numbered(batch_size=4)
    for loader in (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        assert order(loader) == list(range(100, 107))


def test_one_seed_gives_one_order():
    first, again, other = (Numbered(seed=seed).train_dataloader() for seed in (1, 1, 2))
    epochs = [order(first), order(first)]
    assert epochs == [order(again), order(again)]
    assert epochs[0] != epochs[1]
    assert epochs[0] != order(other)
    assert epochs[0] != list(range(20))


class Watcher(LightningModule):
    """A network of one weight that writes down the items of each training epoch."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.epochs = {}

    def training_step(self, batch, _):
        frames, _ = batch
        self.epochs.setdefault(self.current_epoch, []).extend(frames[:, 0, -1, 0, 0].tolist())
        return self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(folder, epochs, ckpt_path=None, **settings):
    network = Watcher()
    trainer = Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(network, Numbered(batch_size=8, seed=4, **settings), ckpt_path=ckpt_path)
    return network.epochs, trainer.checkpoint_callback.best_model_path


def test_a_resumed_run_goes_on_in_its_order(tmp_path):
    whole, _ = train(tmp_path / "whole", epochs=3)
    assert whole[0] != whole[1] != whole[2]
    _, checkpoint = train(tmp_path / "part", epochs=1)
    resumed, _ = train(tmp_path / "part", epochs=3, ckpt_path=checkpoint)
    assert resumed == {1: whole[1], 2: whole[2]}


def test_data_are_loaded_once():
    data = Numbered()
    data.setup("fit")
    data.setup("test")
    data.train_dataloader(), data.test_dataloader()
    assert data.loads == 1


def noise(frames):
    """Add a draw to the last channel; the first tells the item."""
    frames = frames.clone()
    frames[:, -1] += torch.randint(100, (4, 5), dtype=torch.uint8)
    return frames


def epochs(data, count):
    loader = data.train_dataloader()
    return [torch.cat([frames for frames, _ in loader]) for _ in range(count)]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_augmentation_repeats_with_its_seed_and_its_epoch(workers):
    """Whatever else draws, and whoever loads."""
    first, second = epochs(Numbered(augmentation=noise, seed=5), 2)
    torch.rand(17)
    again = epochs(Numbered(augmentation=noise, seed=5, num_workers=workers), 2)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    by_item = [epoch[epoch[:, 0, 0, 0, 0].argsort()] for epoch in (first, second)]
    assert torch.equal(by_item[0][:, :, 0], by_item[1][:, :, 0])
    changed = (by_item[0][:, :, 1] != by_item[1][:, :, 1]).flatten(1).any(1)
    assert changed.all()
    (other,) = epochs(Numbered(augmentation=noise, seed=6), 1)
    assert not torch.equal(other[other[:, 0, 0, 0, 0].argsort()], by_item[0])


def test_an_augmentation_leaves_the_test_split_and_the_other_draws_alone():
    data = Numbered(augmentation=noise)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    for _ in data.train_dataloader().dataset:
        pass
    assert torch.equal(torch.rand(4), expected)
    for frames, _ in data.test_dataloader():
        assert (frames == frames[:, :1, :1, :1, :1]).all()


@pytest.mark.parametrize("split", ["train", "test"])
def test_items_are_counted_from_the_end_too(split):
    data = Numbered(augmentation=noise)
    items = data.split(split)
    assert torch.equal(items[-1][0], items[len(items) - 1][0])
    assert torch.equal(items[np.int64(-len(items))][0], items[0][0])
    assert len(list(items)) == len(items)
    for beyond in (len(items), -len(items) - 1):
        with pytest.raises(IndexError):
            items[beyond]


def test_a_resumed_run_goes_on_with_its_augmentation(tmp_path):
    """The watcher writes down the corner of the last channel, which the augmentation draws."""
    whole, _ = train(tmp_path / "whole", epochs=3, augmentation=noise)
    plain, _ = train(tmp_path / "plain", epochs=1)
    _, checkpoint = train(tmp_path / "part", epochs=1, augmentation=noise)
    resumed, _ = train(tmp_path / "part", epochs=3, ckpt_path=checkpoint, augmentation=noise)
    assert whole[0] != plain[0]
    assert resumed == {1: whole[1], 2: whole[2]}


def test_processes_share_one_order():
    parts = []
    for rank in (0, 1):
        data = Numbered(batch_size=4, seed=2)
        data.trainer = SimpleNamespace(world_size=2, global_rank=rank)
        parts.append(order(data.train_dataloader()))
    alone = order(Numbered(batch_size=4, seed=2).train_dataloader())
    assert parts == [alone[0::2], alone[1::2]]


def test_workers_change_nothing():
    assert order(Numbered(num_workers=2).train_dataloader()) == order(Numbered().train_dataloader())


@pytest.mark.parametrize(
    ("argument", "value"), [("batch_size", 0), ("num_workers", -1), ("seed", -1)]
)
def test_bad_settings_are_named(argument, value):
    with pytest.raises(ArgumentError, match=f"^{argument}={value} "):
        Numbered(**{argument: value})


@pytest.mark.parametrize("shape", [(4, 5, 2, 4, 5), (4, 6, 2, 4, 4), (4, 2, 4, 5)])
def test_frames_of_another_shape_are_refused(shape):
    class Wrong(Numbered):
        def splits(self):
            split = FramesDataset(np.zeros(shape, dtype=np.uint8), np.zeros(4, dtype=np.int64))
            return split, split

    with pytest.raises(ArgumentError, match=r"time_steps='6 and frame_shape=\(2, 4, 5\)'"):
        Wrong().setup()


def test_each_item_has_a_label():
    with pytest.raises(ArgumentError, match="'3 of them' is not allowed: give 4"):
        FramesDataset(np.zeros((4, 6, 2, 4, 5), dtype=np.uint8), np.zeros(3, dtype=np.int64))
