"""A training that diverges ends with an error, and leaves the checkpoint of the epoch before."""

import pytest
import torch
from lightning.pytorch import Callback

from qsnn_plugins.lightning import RunCheckpoint
from qsnn_plugins.lightning.divergence import DivergenceError

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice


def test_a_learning_rate_that_is_too_high_is_named(model, loader, trainer):
    model.optimizer = lambda parameters: torch.optim.SGD(parameters, 1e30)
    message = r"diverged in epoch 0: .* (is not finite|is nan); lower the learning rate, which is "
    with pytest.raises(DivergenceError, match=message):
        trainer(max_epochs=2).fit(model, loader)


class Spoil(Callback):
    """Puts NaN into the loss or a weight, in the second epoch."""

    def __init__(self, what):
        self.what = what

    def on_train_batch_end(self, trainer, model, outputs, *args):
        if trainer.current_epoch == 1:
            what = outputs["loss"] if self.what == "loss" else next(model.parameters()).data
            what.fill_(torch.nan)


@pytest.mark.parametrize(("what", "found"), [("loss", "the loss is nan"), ("weight", "network")])
def test_nothing_diverged_is_saved(model, loader, trainer, tmp_path, what, found):
    callbacks = [Spoil(what), RunCheckpoint(str(tmp_path))]
    with pytest.raises(DivergenceError, match=f"diverged in epoch 1: {found}"):
        trainer(max_epochs=4, callbacks=callbacks).fit(model, loader)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert all(value.isfinite().all() for value in saved["state_dict"].values())


def test_a_finite_training_goes_on(model, loader, trainer):
    run = trainer(max_epochs=2)
    run.fit(model, loader)
    assert run.current_epoch == 2
