"""Learning rate over the epochs, and which parameters decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from qsnn_plugins.errors import ArgumentError

__all__ = ["Decay", "Schedule", "build_schedule", "check_schedule", "parameter_groups"]

Schedule = Literal["cosine", "constant"]
Decay = Literal["all", "weights"]


def check_schedule(
    schedule: str, warmup_epochs: int, min_lr: float, cosine_epochs: int | None, decay: str
) -> None:
    """Refuse what cannot be a schedule.

    Raises:
        ArgumentError: If an argument is not allowed.
    """
    if schedule not in get_args(Schedule):
        raise ArgumentError("schedule", schedule, f"one of {', '.join(get_args(Schedule))}")
    if warmup_epochs < 0:
        raise ArgumentError("warmup_epochs", warmup_epochs, "a number of epochs from 0")
    if not min_lr >= 0:
        raise ArgumentError("min_lr", min_lr, "a number from 0")
    if cosine_epochs is not None and cosine_epochs < 1:
        raise ArgumentError("cosine_epochs", cosine_epochs, "a number of epochs from 1, or None")
    if decay not in get_args(Decay):
        raise ArgumentError("decay", decay, f"one of {', '.join(get_args(Decay))}")


def build_schedule(
    optimizer: Optimizer,
    schedule: Schedule,
    epochs: int,
    warmup_epochs: int = 0,
    min_lr: float = 0.0,
    cosine_epochs: int | None = None,
) -> LRScheduler | None:
    """Build the schedule of an optimiser, to be stepped once an epoch.

    A warm-up rises linearly from `min_lr`, or from 1 / (warmup_epochs + 1) of the rate where
    `min_lr` is 0. The cosine falls from the rate to the least one over the epochs that are left, or
    over `cosine_epochs` epochs, after which it rises again for as long.

    Args:
        optimizer: The optimiser with its initial rate.
        schedule: "cosine" or "constant".
        epochs: Epochs of the whole training, from 1.
        warmup_epochs: Epochs of the warm-up.
        min_lr: The least learning rate.
        cosine_epochs: Epochs from the greatest to the least rate, or None for all that are left.

    Returns:
        The schedule, or None where the rate never changes.
    """
    rest: LRScheduler | None = None
    if schedule == "cosine":
        falling = cosine_epochs or max(epochs - warmup_epochs, 1)
        rest = CosineAnnealingLR(optimizer, T_max=falling, eta_min=min_lr)
    if not warmup_epochs:
        return rest
    rate = optimizer.param_groups[0]["initial_lr"] if rest else optimizer.param_groups[0]["lr"]
    start = min(min_lr / rate if min_lr else 1 / (warmup_epochs + 1), 1.0)
    rising = LinearLR(optimizer, start_factor=start, total_iters=warmup_epochs)
    return SequentialLR(optimizer, [rising, rest], [warmup_epochs]) if rest else rising


def parameter_groups(module: nn.Module, decay: Decay) -> Iterable[Any]:
    """Give an optimiser its parameters, those that do not decay in a group of their own.

    "weights" lets weights decay, and neither biases, normalization, thresholds nor scales, which
    have one dimension or none.
    """
    if decay == "all":
        return module.parameters()
    weights = [p for p in module.parameters() if p.dim() > 1]
    others = [p for p in module.parameters() if p.dim() <= 1]
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
