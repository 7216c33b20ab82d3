"""Where the callbacks that write predictions put their files."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Trainer

from qsnn_plugins.files import check_replaceable, writable

__all__ = ["is_rehearsal", "output_folder"]


def is_rehearsal(trainer: Trainer) -> bool:
    """Return whether predictions are of a `fast_dev_run`, which writes nothing, and say so.

    Example:
        >>> is_rehearsal(Trainer(logger=False))
        False
    """
    is_one = bool(getattr(trainer, "fast_dev_run", False))
    if is_one and trainer.is_global_zero:
        print("fast_dev_run: predictions are not written")
    return is_one


def output_folder(folder: str | None, trainer: Trainer, *files: str) -> Path:
    """Return a folder that is there: the given one, that of the run's logger, or the trainer's.

    All processes have to ask for it, since they agree on the logger's.

    Args:
        folder: The folder; None is that of the run's logger, or of the trainer.
        trainer: Runs the callback.
        files: Names of the files that will be written there.

    Raises:
        ArgumentError: If it cannot be made, or one of the files is write-protected.

    Example:
        >>> from tempfile import mkdtemp
        >>> output_folder(mkdtemp() + "/mine", Trainer(logger=False)).name
        'mine'
    """
    with writable("folder", folder or trainer.log_dir or trainer.default_root_dir) as path:
        path.mkdir(parents=True, exist_ok=True)
        for file in files:
            check_replaceable(path / file)
    return path
