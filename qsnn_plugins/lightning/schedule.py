"""Learning rate over the epochs."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal, get_args

from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
)

from qsnn_plugins.errors import ArgumentError, QSNNWarning
from qsnn_plugins.nn import layer_quantizer, set_weight_epoch

__all__ = [
    "Schedule",
    "build_schedule",
    "check_schedule",
    "planned_epochs",
    "restore_place",
    "scheduled",
    "start_epoch",
]

Schedule = Literal["cosine", "constant", "one_cycle"]


def check_schedule(
    schedule: str,
    warmup_epochs: int = 0,
    min_lr: float | None = None,
    cosine_epochs: int | None = None,
) -> None:
    """Refuse what cannot be a schedule, and options that the schedule does not read.

    Raises:
        ArgumentError: If an argument is not allowed.
    """
    if schedule not in get_args(Schedule):
        raise ArgumentError("schedule", schedule, f"one of {', '.join(get_args(Schedule))}")
    if warmup_epochs < 0:
        raise ArgumentError("warmup_epochs", warmup_epochs, "a number of epochs from 0")
    if min_lr is not None and not min_lr >= 0:
        raise ArgumentError("min_lr", min_lr, "a number from 0, or None")
    if cosine_epochs is not None and cosine_epochs < 1:
        raise ArgumentError("cosine_epochs", cosine_epochs, "a number of epochs from 1, or None")
    if schedule == "cosine":
        return
    if cosine_epochs is not None:
        allowed = f"None for schedule {schedule!r}; 'cosine' reads it"
        raise ArgumentError("cosine_epochs", cosine_epochs, allowed)
    if min_lr is not None and (schedule == "one_cycle" or not warmup_epochs):
        also = "" if schedule == "one_cycle" else " and warmup_epochs"
        allowed = f"None for schedule {schedule!r}; 'cosine'{also} reads it"
        raise ArgumentError("min_lr", min_lr, allowed)


def scheduled(
    trainer: Trainer, optimizer: Optimizer, schedule: Schedule, **options: Any
) -> dict[str, Any]:
    """Return what `configure_optimizers` does: the optimizer and its schedule in a training.

    Args:
        trainer: Whose epochs, or batches for "one_cycle", the schedule covers.
        optimizer: The optimizer with its initial learning rate.
        schedule: "cosine", "constant" or "one_cycle".
        **options: `warmup_epochs`, `min_lr` and `cosine_epochs` of `build_schedule`.

    Raises:
        ArgumentError: If `min_lr` is above the learning rate.
    """
    epochs = 1 if schedule == "constant" else planned_epochs(trainer)
    _check_rates(trainer, optimizer, **options)
    each = schedule == "one_cycle"
    steps = int(trainer.estimated_stepping_batches) if each else None
    built = build_schedule(optimizer, schedule, epochs, **options, steps=steps)
    chosen: dict[str, Any] = {"optimizer": optimizer}
    if built:
        chosen["lr_scheduler"] = {"scheduler": built, "interval": "step" if each else "epoch"}
    return chosen


def _check_rates(
    trainer: Trainer,
    optimizer: Optimizer,
    warmup_epochs: int = 0,
    min_lr: float | None = None,
    **_: Any,
) -> None:
    """Refuse a fall that would rise; warn of a rise that is cut off."""
    highest = max(group["lr"] for group in optimizer.param_groups)
    if min_lr is not None and min_lr > highest:
        raise ArgumentError("min_lr", min_lr, f"at most the learning rate, {highest}")
    if warmup_epochs and 0 < (trainer.max_epochs or 0) <= warmup_epochs:
        warnings.warn(
            f"trainer.max_epochs={trainer.max_epochs} is no longer than "
            f"warmup_epochs={warmup_epochs}: the learning rate never reaches its value",
            QSNNWarning,
            stacklevel=2,
        )


def planned_epochs(trainer: Trainer) -> int:
    """Return the epochs of the whole training, also where `max_steps` limits it.

    Raises:
        ArgumentError: If the training has no end that can be known.
    """
    if trainer.max_steps == -1 and trainer.max_epochs not in (None, -1):
        return max(int(trainer.max_epochs or 1), 1)
    if trainer.train_dataloader is None:
        trainer.fit_loop.setup_data()
    steps = trainer.estimated_stepping_batches
    if not math.isfinite(steps):
        allowed = "a number of epochs, or give trainer.max_steps: a schedule covers the training"
        raise ArgumentError("trainer.max_epochs", trainer.max_epochs, allowed)
    each = trainer.num_training_batches / trainer.accumulate_grad_batches
    return max(math.ceil(steps / max(math.ceil(each), 1)), 1) if math.isfinite(each) else 1


def restore_place(trainer: Trainer) -> None:
    """Hand the place within the epoch that a checkpoint holds to a loader that is set up already.

    A schedule that asks for the number of batches has the loader set up before the checkpoint is
    read, and Lightning hands the place over at the set-up alone.
    """
    trainer.fit_loop._load_combined_loader_states()


def start_epoch(module: LightningModule, network: nn.Module) -> None:
    """Bring the schedules of a network's weight quantizers to the epoch that begins.

    Raises:
        ArgumentError: If there are schedules, but the training has no end that can be known.
    """
    if any(hasattr(layer_quantizer(each), "set_epoch") for each in network.modules()):
        epochs = max(planned_epochs(module.trainer), module.current_epoch + 1)
        set_weight_epoch(network, module.current_epoch, epochs)


def build_schedule(
    optimizer: Optimizer,
    schedule: Schedule,
    epochs: int,
    warmup_epochs: int = 0,
    min_lr: float | None = None,
    cosine_epochs: int | None = None,
    steps: int | None = None,
) -> LRScheduler | None:
    """Build the schedule of an optimizer, to be stepped once per epoch, "one_cycle" per batch.

    A warm-up rises linearly from `min_lr`, or from 1 / (warmup_epochs + 1) of the learning rate if
    `min_lr` is 0. The cosine then falls from the learning rate to `min_lr` over the remaining
    epochs, or over `cosine_epochs`, after which it rises again for as many epochs. "one_cycle" is
    torch's `OneCycleLR` with constant momentum: batch by batch, the learning rate rises from a 25th
    of its value during the warm-up (or 30 % of the training) and then falls to almost zero.

    Args:
        optimizer: The optimizer with its initial learning rate.
        schedule: "cosine", "constant" or "one_cycle".
        epochs: Epochs of the whole training, from 1.
        warmup_epochs: Epochs of the warm-up.
        min_lr: The smallest learning rate; None is 0.
        cosine_epochs: Epochs from the highest to the lowest learning rate (T_max of
            `CosineAnnealingLR`), or None for all remaining epochs.
        steps: Batches of the whole training, for "one_cycle".

    Returns:
        The schedule, or None where the learning rate never changes.
    """
    if schedule == "one_cycle":
        rising = warmup_epochs / epochs if warmup_epochs else 0.3
        if steps and rising * steps > steps - 1:
            rising = 1 - 1 / steps  # the last step falls, however short the training is
        if steps and rising * steps == 1:
            rising = 0.5 / steps  # torch would divide by the length of the rise
        rates = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(optimizer, rates, steps, pct_start=rising, cycle_momentum=False)
    least = min_lr or 0.0
    rest: LRScheduler | None = None
    if schedule == "cosine":
        falling = cosine_epochs or max(epochs - warmup_epochs, 1)
        rest = CosineAnnealingLR(optimizer, T_max=falling, eta_min=least)
    if not warmup_epochs:
        return rest
    rate = optimizer.param_groups[0]["initial_lr"] if rest else optimizer.param_groups[0]["lr"]
    start = min(least / rate if least else 1 / (warmup_epochs + 1), 1.0)
    warmup = LinearLR(optimizer, start_factor=start, total_iters=warmup_epochs)
    return SequentialLR(optimizer, [warmup, rest], [warmup_epochs]) if rest else warmup
