"""The end of a training that has diverged."""

from __future__ import annotations

import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from qsnn_plugins.errors import QSNNError

__all__ = ["DivergenceError", "StopOnDivergence", "check_finite"]


class DivergenceError(QSNNError):
    """A training's loss or weights are no longer finite."""


class StopOnDivergence(Callback):
    """Stops a training at the end of the epoch in which the loss or a weight became not finite.

    Neurons with a NaN input do not fire, so a diverged network may have a finite loss. Buffers,
    such as running scales and statistics, are checked for NaN. The checkpoint of the previous epoch
    is kept.

    Example:
        >>> StopOnDivergence().loss
        0.0
    """

    def __init__(self) -> None:
        self.loss: Any = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss where it is: to read it makes the CPU wait for a GPU."""
        if isinstance(outputs, dict) and "loss" in outputs:
            self.loss = outputs["loss"]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the last loss, and at the parameters and buffers.

        Raises:
            DivergenceError: One of them is not finite.
        """
        check_finite(trainer, pl_module, self.loss)


def check_finite(trainer: Trainer, module: LightningModule, loss: Any = 0.0) -> None:
    """Refuse to go on with, or to save, what has diverged.

    Args:
        trainer: Of the training; all of its processes have to call this.
        module: Whose parameters have to be finite, and whose buffers may not be NaN.
        loss: The last one.

    Raises:
        DivergenceError: Something is not, here or in another process.
    """
    found = "" if math.isfinite(float(loss)) else f"the loss is {float(loss)}"
    for name, parameter in module.named_parameters():
        if not found and not parameter.isfinite().all():
            found = f"{name} is not finite"
    for name, buffer in module.named_buffers():
        if not found and buffer.is_floating_point() and buffer.isnan().any():
            found = f"{name} is not a number"
    if not trainer.strategy.reduce_boolean_decision(bool(found), all=False):
        return
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    advice = f"; lower the learning rate, which is {groups[0]['lr']:g}" if groups else ""
    raise DivergenceError(
        f"the training diverged in epoch {trainer.current_epoch}: "
        f"{found or 'another process found a value that is not finite'}{advice}"
    )
