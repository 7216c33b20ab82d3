"""One training with its test, in processes of their own: what a user would type."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsnn_plugins.errors import DataError

__all__ = ["Run", "checkout_commit", "machine_name", "model_size"]

# By which convention of `qsnn cost` a paper counts, where it has none of its own name.
_CONVENTIONS = {"bit_budget": "chip"}


@dataclass(frozen=True)
class Run:
    """A recipe with the words behind it, a seed, and a folder of its own.

    Args:
        words: Words of the recipe, from `-c RECIPE` on.
        seed: Seed of the weights and of the training order.
        folder: Where the run leaves its files.

    Example:
        >>> Run(("-c", "recipes/a.yaml"), 7, Path("runs/a")).command
        'lightning fit -c recipes/a.yaml --seed_everything=7 --data.seed=7'
    """

    words: tuple[str, ...]
    seed: int
    folder: Path

    @property
    def seeded(self) -> tuple[str, ...]:
        """The words with the seed."""
        return (*self.words, f"--seed_everything={self.seed}", f"--data.seed={self.seed}")

    @property
    def command(self) -> str:
        """What trains it."""
        return " ".join(["lightning fit", *self.seeded])

    def accuracy(self) -> float:
        """Train and test; return the test accuracy in per cent.

        Raises:
            DataError: If one of the two failed; the error names its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._call("fit")
        self._call("test", "--ckpt_path=last")
        return 100 * float(self._metrics("test")[-1]["test_accuracy"])

    @property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return int(self.metrics()[-1]["epoch"]) + 1

    def metrics(self) -> list[dict[str, str]]:
        """One row per validation: epoch, step, what was measured and the last batch's loss."""
        rows, loss = [], ""
        for row in self._metrics("fit"):
            loss = row.get("train_loss") or loss
            if row.get("val_accuracy"):
                rows.append(row | {"train_loss": loss})
        return rows

    def _call(self, *words: str) -> None:
        quiet = ["--trainer.enable_progress_bar=false", f"--trainer.default_root_dir={self.folder}"]
        log = self.folder / f"{words[0]}.log"
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.run(
                [sys.executable, "-m", "qsnn_plugins", *words, *self.seeded, *quiet],
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if process.returncode:
            last = (log.read_text("utf-8").strip().splitlines() or ["no output"])[-1]
            raise DataError(f"{words[0]} ended with status {process.returncode}, see {log}: {last}")

    def _metrics(self, word: str) -> list[dict[str, str]]:
        files = list(self.folder.glob(f"{word}/version_*/metrics.csv"))
        newest = max(files, key=lambda path: int(path.parent.name.removeprefix("version_")))
        with newest.open(encoding="utf-8") as file:
            return list(csv.DictReader(file))


def model_size(words: tuple[str, ...], paper: str) -> int:
    """Return the bytes of a recipe's network as its paper counts them, by `qsnn cost`.

    Args:
        words: Words of the recipe, from `-c RECIPE` on.
        paper: Key of the paper.

    Raises:
        DataError: If it cannot be counted.
    """
    options = ["--json", "--full_precision", f"--convention={_CONVENTIONS.get(paper, paper)}"]
    process = subprocess.run(
        [sys.executable, "-m", "qsnn_plugins", "cost", *words, *options],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if process.returncode:
        raise DataError(f"qsnn cost {' '.join(words)}: {process.stderr.strip().splitlines()[-1]}")
    counted: dict[str, Any] = json.loads(process.stdout)
    return counted["memory"]["total"]


def checkout_commit() -> str:
    """Return the commit of the checkout in the current folder.

    Raises:
        DataError: If it is no checkout, or tracked files were changed since.
    """
    try:
        changed = _git("status", "--porcelain", "--untracked-files=no")
        commit = _git("rev-parse", "--short=7", "HEAD")
    except (OSError, subprocess.CalledProcessError) as error:
        raise DataError("this folder is no checkout: a result names a commit") from error
    if changed:
        raise DataError("there are changes that are not committed: a result names a commit")
    return commit


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], capture_output=True, encoding="utf-8", errors="replace", check=True
    ).stdout.strip()


def machine_name() -> str:
    """Return the GPU's name, or the processor's with the threads that torch takes.

    Example:
        >>> machine_name() != ""
        True
    """
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    name = "CPU"
    if (table := Path("/proc/cpuinfo")).is_file():
        models = [
            line for line in table.read_text("utf-8").splitlines() if line.startswith("model name")
        ]
        name = models[0].partition(":")[2].strip() if models else name
    return f"{name}, {torch.get_num_threads()} threads"
