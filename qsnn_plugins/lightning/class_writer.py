"""Writing the classes that a classifier predicts."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from qsnn_plugins.files import atomic_write
from qsnn_plugins.lightning.output_paths import output_paths

__all__ = ["ClassWriter"]


class ClassWriter(BasePredictionWriter):
    """Writes `classes.csv`: the class of each sample, and its label, in the order of the data.

    With several devices, each writes a file of its own, whose name ends with its rank. With
    `fast_dev_run`, nothing is written.

    Args:
        folder: Output folder; None is the folder of the run's logger, or of the trainer.

    Example:
        >>> ClassWriter("runs/mine").folder
        'runs/mine'
    """

    def __init__(self, folder: str | None = None) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder
        self._rows: list[tuple[int, ...]] = []
        self._paths: list[Path] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start with an empty list, and make the folder before anything is computed for it."""
        self._rows = []
        self._paths = output_paths(self.folder, trainer, "classes.csv")

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Tensor,
        batch_indices: Sequence[int] | None,
        batch: Sequence[Any],
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Note the classes and labels of a batch."""
        classes, labels = prediction.tolist(), batch[1].tolist()
        first = len(self._rows)
        places = batch_indices or range(first, first + len(classes))
        self._rows += zip(places, classes, labels, strict=True)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file, and say where it is."""
        for path in self._paths:
            with atomic_write(path, "w") as file:
                csv.writer(file, lineterminator="\n").writerows(
                    [("sample", "class", "label"), *self._rows]
                )
            if trainer.is_global_zero:
                print(f"classes of {len(self._rows):,} samples: {path}")
