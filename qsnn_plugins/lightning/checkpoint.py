"""The checkpoint of a run."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

__all__ = ["RunCheckpoint"]


class RunCheckpoint(ModelCheckpoint):
    """Keeps `last.ckpt` in the run's folder, after every epoch and when a run is cut short.

    No checkpoint is chosen by its accuracy. `--ckpt_path last` goes on from the newest one, also
    after Ctrl-C in the middle of an epoch. Lightning writes aside and renames.

    Args:
        dirpath: Folder, or None for `checkpoints` in the trainer's `default_root_dir`.

    Example:
        >>> RunCheckpoint().save_last
        True
    """

    def __init__(self, dirpath: str | None = None) -> None:
        super().__init__(dirpath=dirpath, save_last=True, save_top_k=0)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder."""
        if self.dirpath is None:
            self.dirpath = str(Path(trainer.default_root_dir).absolute() / "checkpoints")
        super().setup(trainer, pl_module, stage)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save what was learned before the run was cut short."""
        if trainer.training and trainer.global_step > 0:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
