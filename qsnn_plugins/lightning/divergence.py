"""The end of a training that has diverged."""

from __future__ import annotations

import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from qsnn_plugins.errors import QSNNError

__all__ = ["DivergenceError", "StopOnDivergence"]


class DivergenceError(QSNNError):
    """A training's loss or weights are no longer finite."""


class StopOnDivergence(Callback):
    """Stops a training at the end of the epoch in which the loss or a weight became not finite.

    Neurons with a NaN input do not fire, so a diverged network may have a finite loss. The
    checkpoint of the previous epoch is kept.

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
        """Look at the last loss, and at the parameters.

        Raises:
            DivergenceError: One of them is not finite.
        """
        found = "" if math.isfinite(float(self.loss)) else f"the loss is {float(self.loss)}"
        for name, parameter in pl_module.named_parameters():
            if not found and not parameter.isfinite().all():
                found = f"{name} is not finite"
        if not trainer.strategy.reduce_boolean_decision(bool(found), all=False):
            return
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        raise DivergenceError(
            f"the training diverged in epoch {trainer.current_epoch}: "
            f"{found or 'another process found a value that is not finite'}; "
            f"lower the learning rate, which is {rate:g}"
        )
