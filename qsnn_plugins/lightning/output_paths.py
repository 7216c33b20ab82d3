"""Where the callbacks that write predictions put their files."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Trainer

from qsnn_plugins.files import check_replaceable, writable

__all__ = ["output_paths"]


def output_paths(folder: str | None, trainer: Trainer, *names: str) -> list[Path]:
    """Return the paths of files in a folder, which is made; none in a `fast_dev_run`.

    With several devices, the names end with the rank. All processes have to ask for the paths,
    since they agree on the logger's folder.

    Args:
        folder: The folder; None is that of the run's logger, or of the trainer.
        trainer: Runs the callback.
        names: Names of the files that will be written there.

    Raises:
        ArgumentError: If the folder cannot be made, or one of the files is write-protected.

    Example:
        >>> from tempfile import mkdtemp
        >>> [path] = output_paths(mkdtemp() + "/mine", Trainer(logger=False), "classes.csv")
        >>> path.parts[-2:]
        ('mine', 'classes.csv')
    """
    if getattr(trainer, "fast_dev_run", False):
        if trainer.is_global_zero:
            print("fast_dev_run: predictions are not written")
        return []
    rank = f"-{trainer.global_rank}" * (trainer.world_size > 1)
    with writable("folder", folder or trainer.log_dir or trainer.default_root_dir) as path:
        path.mkdir(parents=True, exist_ok=True)
        paths = [path / f"{Path(name).stem}{rank}{Path(name).suffix}" for name in names]
        for each in paths:
            check_replaceable(each)
    return paths
