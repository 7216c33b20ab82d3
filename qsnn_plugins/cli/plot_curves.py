"""The runs whose training curves `qsnn plot` draws."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.plot import History, curves_figure, read_history, read_record
from qsnn_plugins.plot.curves import is_record
from qsnn_plugins.reproduce import read_results
from qsnn_plugins.reproduce.comparison import FOLD
from qsnn_plugins.reproduce.results import fitting_rows

_DEFAULT = ("train_loss", "val_accuracy", "val_map")


def draw_curves(options: Namespace, chosen: list[Namespace]) -> Any:
    """Draw training curves of runs, or of what `qsnn measure` recorded of some.

    Raises:
        RecipeError: What was asked for cannot be done.
        ArgumentError: A metric is not there.
        DataError: A file cannot be read.
    """
    series: dict[str, list[History]] = {}
    for own in chosen:
        for label, runs in _series(own):
            if label in series:
                raise RecipeError(f"two series are called {label!r}: give each a --label")
            series[label] = runs
    known = {metric for runs in series.values() for run in runs for metric in run}
    metrics = options.metrics or [metric for metric in _DEFAULT if metric in known]
    if not metrics:
        raise RecipeError(f"--metrics: give some of {', '.join(sorted(known))}")
    return curves_figure(series, metrics)


def _series(own: Namespace) -> Iterator[tuple[str, list[History]]]:
    record = own.runs[0]
    if not any(path.is_file() and is_record(path) for path in own.runs):
        if own.rows:
            raise RecipeError(f"--rows: {record} has none; a CSV of `qsnn measure` has")
        yield own.label or _run_name(record), [read_history(path) for path in own.runs]
        return
    if len(own.runs) > 1:
        raise RecipeError(f"{record} holds runs of all seeds: put further files behind --and")
    found = read_record(record)
    names = _row_names(record, found)
    fitting = fitting_rows(names.values(), own.rows or "")
    kept = {names[words]: runs for words, runs in found.items() if names[words] in fitting}
    if not kept:
        raise RecipeError(f"{record} has no rows with {own.rows!r}; it has {_listed(names)}")
    if own.label and len(kept) > 1:
        raise RecipeError(f"--label names one series, and {record} has {len(kept)}: give --rows")
    parts = [name.split(", ") for name in kept]
    for name, runs in kept.items():
        own_parts = [p for p in name.split(", ") if not all(p in other for other in parts)]
        yield own.label or ", ".join(own_parts) or name, runs


def _listed(names: dict[str, str]) -> str:
    return "; ".join(dict.fromkeys(names.values()))


def _run_name(path: Path) -> str:
    """The folder of the run, without the parts that all runs have."""
    parts = [p for p in path.parts if p not in ("fit", "metrics.csv") and p[:8] != "version_"]
    return parts[-1] if parts else str(path)


def _row_names(record: Path, found: dict[str, list[History]]) -> dict[str, str]:
    """Names of the rows whose words they are, as the results beside the record have them.

    Where a row was trained in several ways, the words that are not in all of these follow its name.
    """
    names = {words: words for words in found}
    results = record.with_suffix(".json")
    if results.is_file():
        for result in read_results(results):
            all_words = ("-c", result.recipe, *result.overrides)
            words = " ".join(word for word in all_words if not word.startswith(FOLD))
            if names.get(words) == words:
                names[words] = result.row
    ways: dict[str, list[list[str]]] = {}
    for words, row in names.items():
        ways.setdefault(row, []).append(words.split())
    for words, row in names.items():
        own = [word for word in words.split() if not all(word in way for way in ways[row])]
        names[words] = ", ".join([row, *own])
    return names
