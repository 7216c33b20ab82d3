"""Where the callbacks that write predictions put their files."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Trainer

from qsnn_plugins.files import writable

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


def output_folder(folder: str | None, trainer: Trainer) -> Path:
    """Return a folder that is there: the given one, that of the run's logger, or the trainer's.

    Raises:
        ArgumentError: If it cannot be made.

    Example:
        >>> from tempfile import mkdtemp
        >>> output_folder(mkdtemp() + "/mine", Trainer(logger=False)).name
        'mine'
    """
    with writable("folder", folder or trainer.log_dir or trainer.default_root_dir) as path:
        path.mkdir(parents=True, exist_ok=True)
    return path
