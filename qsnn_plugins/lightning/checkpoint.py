"""The checkpoint of a run."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

__all__ = ["RunCheckpoint"]


class RunCheckpoint(ModelCheckpoint):
    """Keeps the newest epoch of a run, and what it had learned when it was cut short.

    No checkpoint is chosen by its accuracy. `last.ckpt` is the newest state, also after Ctrl-C in
    the middle of an epoch, and `--ckpt_path last` goes on from it. A second run in the same folder
    writes beside the first one's files. Lightning writes aside and renames.

    Args:
        dirpath: Folder, or None for `checkpoints` in the folder that Lightning gives the run.

    Example:
        >>> RunCheckpoint("runs/mine/checkpoints").filename
        '{epoch}'
    """

    def __init__(self, dirpath: str | None = None) -> None:
        super().__init__(dirpath=dirpath, filename="{epoch}", save_top_k=1, save_last="link")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save what was learned before the run was cut short."""
        if trainer.state.fn == TrainerFn.FITTING and trainer.global_step > 0:
            trainer.save_checkpoint(self.last_model_path or self._unused_last_path())

    def _unused_last_path(self) -> Path:
        folder = Path(self.dirpath or ".")
        names = (f"last-v{version}.ckpt" if version else "last.ckpt" for version in count())
        return next(path for path in map(folder.joinpath, names) if not path.exists())
