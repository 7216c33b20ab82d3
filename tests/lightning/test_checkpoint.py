"""A run that is cut short leaves a checkpoint to go on from."""

import pytest
import torch
from lightning.pytorch import Callback

from qsnn_plugins.lightning import RunCheckpoint

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice


class _Interrupt(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def test_an_interrupt_within_the_first_epoch_leaves_a_checkpoint(model, loader, trainer, folder):
    callbacks = [RunCheckpoint(str(folder)), _Interrupt(step=2)]
    with pytest.raises(SystemExit):
        trainer(max_epochs=3, callbacks=callbacks).fit(model, loader)
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2

    resumed = trainer(max_epochs=3, callbacks=[RunCheckpoint(str(folder))])
    resumed.fit(model, loader, ckpt_path="last")
    assert resumed.current_epoch == 3


def test_an_interrupt_in_a_later_epoch_moves_the_last_checkpoint_on(model, loader, trainer, folder):
    callbacks = [RunCheckpoint(str(folder)), _Interrupt(step=6)]
    with pytest.raises(SystemExit):
        trainer(max_epochs=3, callbacks=callbacks).fit(model, loader)
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 6
    assert torch.load(folder / "epoch=0.ckpt", weights_only=True)["global_step"] == 4


def test_every_epoch_is_saved_with_and_without_validation(model, loader, trainer, folder):
    for epochs, arguments in [(1, {}), (2, {"val_dataloaders": loader})]:
        t = trainer(max_epochs=epochs, callbacks=[RunCheckpoint(str(folder))])
        t.fit(model, loader, ckpt_path="last", **arguments)
        newest = max(folder.glob("last*.ckpt"), key=lambda path: path.stat().st_mtime)
        assert torch.load(newest, weights_only=True)["global_step"] == 4 * epochs


def test_a_second_run_loses_nothing_of_the_first(model, loader, trainer, folder):
    trainer(max_epochs=1, callbacks=[RunCheckpoint(str(folder))]).fit(model, loader)
    first = (folder / "last.ckpt").read_bytes()
    callbacks = [RunCheckpoint(str(folder)), _Interrupt(step=2)]
    with pytest.raises(SystemExit):
        trainer(max_epochs=1, callbacks=callbacks).fit(model, loader)
    assert (folder / "last.ckpt").read_bytes() == first
    assert torch.load(folder / "last-v1.ckpt", weights_only=True)["global_step"] == 2
