"""Where the callbacks that write predictions put their files."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Trainer

from qsnn_plugins.files import writable

__all__ = ["output_folder"]


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
