"""Running a network on batches, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.cost.neurons import forget_states
from qsnn_plugins.errors import ArgumentError

__all__ = ["Run", "run_batches"]

Run = Callable[[Tensor], Any]


def run_batches(
    network: nn.Module, batches: Iterable[Tensor], run: Run | None = None
) -> Iterator[int]:
    """Run batches in evaluation mode without gradients, and yield after each how many have run.

    Args:
        network: See `measure_layers`.
        batches: See `measure_layers`.
        run: See `measure_layers`.

    Raises:
        ArgumentError: If there is no batch.

    Example:
        >>> list(run_batches(nn.Identity(), [torch.zeros(2, 1, 3)]))
        [1]
    """
    modes = {module: module.training for module in network.modules()}
    run, count = run or network, 0
    try:
        network.eval()
        for batch in batches:
            forget_states(network)
            with torch.no_grad():
                run(batch)
            count += 1
            yield count
    finally:
        forget_states(network)
        for module, mode in modes.items():
            module.training = mode
    if not count:
        raise ArgumentError("batches", 0, "one batch or more")
