"""Learning rate over the epochs."""

from __future__ import annotations

from typing import Literal, get_args

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from qsnn_plugins.errors import ArgumentError

__all__ = ["Schedule", "build_schedule", "check_schedule"]

Schedule = Literal["cosine", "constant"]


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
    if min_lr is not None and not warmup_epochs:
        allowed = f"None for schedule {schedule!r}; 'cosine' and warmup_epochs read it"
        raise ArgumentError("min_lr", min_lr, allowed)


def build_schedule(
    optimizer: Optimizer,
    schedule: Schedule,
    epochs: int,
    warmup_epochs: int = 0,
    min_lr: float | None = None,
    cosine_epochs: int | None = None,
) -> LRScheduler | None:
    """Build the schedule of an optimizer, to be stepped once per epoch.

    A warm-up rises linearly from `min_lr`, or from 1 / (warmup_epochs + 1) of the learning rate
    where `min_lr` is 0. The cosine falls from the learning rate to `min_lr` over the epochs that
    are left, or over `cosine_epochs`, after which it rises again for as long.

    Args:
        optimizer: The optimizer with its initial learning rate.
        schedule: "cosine" or "constant".
        epochs: Epochs of the whole training, from 1.
        warmup_epochs: Epochs of the warm-up.
        min_lr: The smallest learning rate; None is 0.
        cosine_epochs: Epochs from the greatest to the smallest learning rate (T_max of
            `CosineAnnealingLR`), or None for all that are left.

    Returns:
        The schedule, or None where the learning rate never changes.
    """
    least = min_lr or 0.0
    rest: LRScheduler | None = None
    if schedule == "cosine":
        falling = cosine_epochs or max(epochs - warmup_epochs, 1)
        rest = CosineAnnealingLR(optimizer, T_max=falling, eta_min=least)
    if not warmup_epochs:
        return rest
    rate = optimizer.param_groups[0]["initial_lr"] if rest else optimizer.param_groups[0]["lr"]
    start = min(least / rate if least else 1 / (warmup_epochs + 1), 1.0)
    rising = LinearLR(optimizer, start_factor=start, total_iters=warmup_epochs)
    return SequentialLR(optimizer, [rising, rest], [warmup_epochs]) if rest else rising
