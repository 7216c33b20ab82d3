"""Labels that the network has no output for."""

from __future__ import annotations

from torch import Tensor

from qsnn_plugins.errors import DataError

__all__ = ["check_labels"]


def check_labels(labels: Tensor, classes: int, outputs: str, batch_idx: int) -> None:
    """Refuse labels outside 0..classes - 1; `outputs` says what has so many classes.

    Raises:
        DataError: If there are such labels.
    """
    # reading values waits for a GPU, so there only the first batch is looked at
    if len(labels) == 0 or (labels.device.type != "cpu" and batch_idx > 0):
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise DataError(
            f"labels run from {low} to {high}, but {outputs}: they must lie in 0..{classes - 1}"
        )
