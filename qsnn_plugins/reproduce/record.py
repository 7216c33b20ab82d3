"""What `qsnn measure` writes of a run: JSON for each value, CSV for each epoch."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qsnn_plugins.errors import DataError
from qsnn_plugins.files import atomic_write, check_replaceable, locked, path_beside, writable
from qsnn_plugins.reproduce.results import RESULTS, Result, read_results
from qsnn_plugins.reproduce.run import Run
from qsnn_plugins.reproduce.trained import TrainedCell

__all__ = ["RUNS", "Record", "results_of", "tested_metrics"]

RUNS = Path("runs/measured")
_KEPT = (
    "epoch",
    "step",
    "train_loss",
    "val_accuracy",
    "val_accuracy_soft",
    "val_map",
    "val_ap50",
)


class Record:
    """What is written beside the results: JSON for each value, CSV for each epoch.

    What others recorded stays, at the same time too; a run of the same words and seed takes
    the place of its own.

    Raises:
        DataError: If the files that are there cannot be read.
        ArgumentError: If none can be written there.
    """

    def __init__(self, name: str) -> None:
        self.path = RESULTS / f"{name}.json"
        self.log = self.path.with_suffix(".csv")
        self.results: list[Result] = []
        self._epochs: list[dict[str, str]] = []
        self._read()
        # not after hours of training
        with writable("folder of results", RESULTS):
            RESULTS.mkdir(parents=True, exist_ok=True)
            with path_beside(self.path) as trial:
                trial.touch()
            for path in (self.path, self.log):
                check_replaceable(path)

    def _read(self) -> None:
        if self.path.exists():
            self.results = list(read_results(self.path))
            try:
                with self.log.open(newline="", encoding="utf-8") as file:
                    rows = csv.DictReader(file, restval="", strict=True)
                    self._epochs = list(rows)
                if "words" not in (rows.fieldnames or ()) or any(None in r for r in self._epochs):
                    raise ValueError("it has no column `words`, or a line longer than the first")
            except (OSError, ValueError, csv.Error) as error:
                raise DataError(f"{self.log} cannot be read: {error}") from error

    def add(self, run: Run, tested: Mapping[str, float], results: list[Result]) -> None:
        """Add a run to what is there by now, and write both files, each at once."""
        RUNS.mkdir(parents=True, exist_ok=True)
        with locked(RUNS / f".{self.path.stem}.lock"):
            self._read()
            self._add(run, tested, results)

    def _add(self, run: Run, tested: Mapping[str, float], results: list[Result]) -> None:
        place = {"words": " ".join(run.words), "seed": str(run.seed)}
        own = run.words[2:], run.seed
        self.results = [old for old in self.results if (old.overrides, old.seed) != own] + results
        self._epochs = [old for old in self._epochs if not place.items() <= old.items()]
        self._epochs += [
            place | {key: row[key] for key in _KEPT if key in row} for row in run.metrics()
        ]
        self._epochs.append(place | {name: f"{value:g}" for name, value in tested.items()})
        with atomic_write(self.log, "w") as file:
            named = dict.fromkeys(name for row in self._epochs for name in row)
            columns = sorted(named, key=lambda name: name.startswith("test_"))
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self._epochs)
        with atomic_write(self.path, "w") as file:
            json.dump([asdict(result) for result in self.results], file, indent=1)
            file.write("\n")


def tested_metrics(cells: Sequence[TrainedCell], logged: Mapping[str, str]) -> dict[str, float]:
    """Return what the test logged for the cells, by name."""
    metrics = {cell.column.metric: 0 for cell in cells}
    if lacking := [metric for metric in metrics if not logged.get(metric)]:
        raise DataError(f"the test logged no {', '.join(lacking)}: it logged {', '.join(logged)}")
    return {metric: float(logged[metric]) for metric in metrics}


def results_of(
    cells: Sequence[TrainedCell], run: Run, tested: Mapping[str, float], shared: Mapping[str, Any]
) -> list[Result]:
    """Return one result for each cell of a run, with the fields that all share."""
    begun = run.begin()
    return [
        Result(
            *cell.key,
            value=round(100 * tested[cell.column.metric], 6),
            unit=cell.column.unit,
            recipe=run.words[1],
            overrides=run.words[2:],
            command=run.command,
            seed=run.seed,
            epochs=run.epochs,
            date=begun.date,
            commit=begun.commit,
            **shared,
        )
        for cell in cells
    ]
