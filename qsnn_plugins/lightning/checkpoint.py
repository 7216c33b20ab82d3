"""The checkpoint of a run."""

from __future__ import annotations

import os
import signal
import warnings
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from qsnn_plugins.errors import QSNNError
from qsnn_plugins.files import atomic_write, check_replaceable, locked, remove_leftovers
from qsnn_plugins.lightning.divergence import check_finite
from qsnn_plugins.lightning.schedule import restore_place
from qsnn_plugins.stopping import Stopped, StopRequest

__all__ = ["RunCheckpoint", "newest_checkpoint"]


class RunCheckpoint(ModelCheckpoint):
    """Keeps the newest state of a run in one file, from which it can continue as if never stopped.

    No checkpoint is chosen by its accuracy. `last.ckpt` is written at the end of each epoch, and
    when Ctrl-C or SIGTERM asks for a stop: after the current batch, or after the validation if all
    batches of the epoch are done. An epoch that `max_time`, `max_steps` or another callback ends
    early is saved after its last batch, and goes on there. The new file replaces the old one only
    when it is complete. A run that was stopped or killed and is continued with `--ckpt_path last`
    ends with the same weights as an uninterrupted run, if the order of its batches depends only on
    the epoch, as in the data modules of this package. Random values of torch's generator, such as
    dropout, depend on the seed, the epoch and the batch.

    A run that crashes leaves the checkpoint of its last complete epoch. A new run in the same
    folder does not overwrite an earlier checkpoint but writes `last-v1.ckpt`. Two runs at the same
    time in one folder are refused.

    Args:
        dirpath: Folder, or None for `checkpoints` in the folder that Lightning gives the run.

    Example:
        >>> RunCheckpoint("runs/mine/checkpoints").filename
        'last'
    """

    def __init__(self, dirpath: str | None = None) -> None:
        super().__init__(dirpath=dirpath, filename="last", save_on_train_epoch_end=True)
        self._stop, self._lock = StopRequest(), ExitStack()
        self._seed: int | None = None
        self._is_cut = False

    def claim(self, trainer: Trainer) -> None:
        """Keep other runs out of the folder until this one ends, however it ends.

        Raises:
            QSNNError: Another run has it, or it cannot be written.
        """
        if (
            not trainer.is_global_zero
            or getattr(trainer, "fast_dev_run", False)
            or self.dirpath is None
        ):
            return
        folder, advice = Path(self.dirpath), "give this run another: --trainer.default_root_dir=..."
        self._lock.close()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.enter_context(locked(folder / ".lock", wait=False))
        except BlockingIOError:
            raise QSNNError(f"another run is writing to {folder}: wait, or {advice}") from None
        except OSError as error:
            raise QSNNError(f"{folder} cannot be written ({error.strerror}): {advice}") from None
        remove_leftovers(folder, age=0)

    def check_last(self) -> None:
        """Refuse to begin anew in a folder whose checkpoints are all damaged.

        Raises:
            QSNNError: There are checkpoints, and none is whole.
        """
        folder = Path(self.dirpath or ".")
        if newest_checkpoint(folder) is None and any(folder.glob("*.ckpt")):
            raise QSNNError(
                f"all checkpoints in {folder} are damaged: remove them to start a new training"
            )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Claim the folder of a run that trains, and have its checkpoints written as a whole."""
        with warnings.catch_warnings():
            # what is in the folder is kept, and known
            warnings.filterwarnings("ignore", "Checkpoint directory .* is not empty")
            super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self.claim(trainer)
            if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
                trainer.strategy.checkpoint_io = WholeCheckpointIO()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the folder to others."""
        self._lock.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the folder to others; what was in the making when it failed is not saved."""
        self._lock.close()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an earlier stop."""
        self._stop.signum = None

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals; Lightning puts back the handlers that were there."""
        self._stop.listen(answers=trainer.is_global_zero)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals, the seed of the run, and the place within the epoch.

        Raises:
            QSNNError: The checkpoint that it goes on from is write-protected, where it would save.
        """
        super().on_train_start(trainer, pl_module)
        if trainer.is_global_zero and self.best_model_path:
            try:  # not after an epoch
                check_replaceable(self.best_model_path)
            except OSError as error:
                raise _unwritable(self.best_model_path, error) from None
        restore_place(trainer)  # of modules that are not this package's, too
        self._stop.listen(answers=trainer.is_global_zero)
        if self._seed is None:
            self._seed = torch.initial_seed()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed what is drawn for this batch."""
        # the last number keeps it apart from what data modules draw of seed, epoch and index
        place = (self._seed or 0, trainer.current_epoch, batch_idx, trainer.global_rank, 2)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where the epoch ends early, after a step of the optimizer; stop if asked to.

        Raises:
            DivergenceError: What would be saved is not finite; the older checkpoint is kept.
            Stopped: It is saved.
        """
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        asked = self._is_asked(trainer)
        self._is_cut = stepped and not trainer.is_last_batch and (asked or _ends_early(trainer))
        if self._is_cut:
            check_finite(trainer, pl_module)
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))
            if asked:
                self._end()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the epoch, unless it ended early: its place is saved already."""
        if not self._is_cut:
            super().on_train_epoch_end(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if that was asked for since the last batch; the epoch before is saved."""
        if self._is_asked(trainer):
            self._end()

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with the seed of the run."""
        return super().state_dict() | {"seed": self._seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the seed of the run; its checkpoint may have been moved."""
        super().load_state_dict(state_dict)
        self._seed = state_dict.get("seed")

    def _is_asked(self, trainer: Trainer) -> bool:
        # a signal reaches processes at different batches, or one of them alone
        return trainer.strategy.reduce_boolean_decision(self._stop.signum is not None, all=False)

    def _end(self) -> None:
        raise Stopped(self._stop.signum or signal.SIGTERM)

    def _find_last_checkpoints(self, trainer: Trainer) -> set[str]:
        """Where Lightning looks for `last`."""
        if self.dirpath is None:
            return super()._find_last_checkpoints(trainer)
        newest = newest_checkpoint(Path(self.dirpath))
        return set() if newest is None else {str(newest)}


def _ends_early(trainer: Trainer) -> bool:
    """Whether no batch follows, though the epoch has more."""
    return trainer.should_stop or 0 <= trainer.max_steps <= trainer.global_step


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, and renames it when all of it is on the disk."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            QSNNError: The disk is full, or the folder cannot be written.
        """
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as file:
                torch.save(checkpoint, file)
        # torch.save puts an error of its own in front of the disk's
        except Exception as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, OSError):
                cause = cause.__context__
            if cause is None:
                raise
            raise _unwritable(path, cause) from error


def _unwritable(path: str | Path, error: OSError) -> QSNNError:
    kept = "; an older one is kept" if os.path.exists(path) else ""
    return QSNNError(f"the checkpoint {path} cannot be written ({error.strerror}){kept}")


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, or None.

    Earlier versions kept one per epoch, to which `last.ckpt` was a link; where a kill took the
    link, the epoch's own is found.

    Args:
        folder: Such as runs/spquant_vgg9/checkpoints.

    Example:
        >>> newest_checkpoint(Path("nowhere")) is None
        True
    """
    for pattern in ("last*.ckpt", "epoch=*.ckpt"):
        whole = [path for path in folder.glob(pattern) if zipfile.is_zipfile(path)]
        if whole:
            return max(whole, key=lambda path: path.stat().st_mtime)
    return None
