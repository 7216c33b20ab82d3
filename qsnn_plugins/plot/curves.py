"""Training curves of several runs: the mean over seeds with its interval, epoch by epoch."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from math import ceil, isfinite
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from qsnn_plugins.errors import ArgumentError, DataError
from qsnn_plugins.plot.seeds import interval_of_mean
from qsnn_plugins.plot.style import (
    columns_of,
    house_style,
    hues,
    line_styles,
    new_figure,
    set_legend,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["History", "curves_figure", "read_history", "read_record"]

History = Mapping[str, Mapping[int, float]]
"""Values of a run by metric and epoch, from 0."""

_PLACES = ("metrics.csv", "version_*/metrics.csv", "fit/version_*/metrics.csv")
_KEYS = ("epoch", "step", "words", "seed")
_PANEL = 3.4  # inches


def read_history(path: str | Path) -> History:
    r"""Read what Lightning's CSVLogger wrote of one run.

    What was logged several times in an epoch, as losses of batches are, is averaged. Of a run that
    was cut off and went on, the later part wins; a part that begins at epoch 0 is a new run, and
    those before it do not count.

    Args:
        path: A metrics.csv, or the folder of a run that holds some.

    Raises:
        DataError: If there is none, or it cannot be read.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp(), "metrics.csv")
        >>> _ = file.write_text("epoch,step,train_loss,val_accuracy\n0,9,2.0,\n0,9,,0.5\n")
        >>> read_history(file)
        {'train_loss': {0: 2.0}, 'val_accuracy': {0: 0.5}}
    """
    path = Path(path)
    parts = (_parts(path, pattern) for pattern in _PLACES)
    files = [path] if path.is_file() else next(filter(None, parts), [])
    if not files:
        raise DataError(f"there is no metrics.csv in {path}")
    history: dict[str, dict[int, float]] = {}
    for file in files:
        part = _averaged(_rows(file))
        if any(0 in values for values in part.values()):
            history = {}
        for metric, values in part.items():
            history.setdefault(metric, {}).update(values)
    if not history:
        raise DataError(f"{path}: nothing was logged")
    return history


def read_record(path: str | Path) -> dict[str, list[History]]:
    r"""Read the CSV that `qsnn measure` keeps beside its results.

    Args:
        path: Such as docs/results/X.csv.

    Returns:
        The histories of all seeds and folds, by the words of the run without its fold.

    Raises:
        DataError: If it cannot be read.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp(), "runs.csv")
        >>> _ = file.write_text("words,seed,epoch,val_accuracy\n-c a.yaml,42,0,0.5\n")
        >>> read_record(file)
        {'-c a.yaml': [{'val_accuracy': {0: 0.5}}]}
    """
    path, runs = Path(path), dict[str, dict[tuple[str, str], list[dict[str, str]]]]()
    for row in _rows(path):
        words = re.sub(r" --data\.fold=\d+", "", row["words"])
        runs.setdefault(words, {}).setdefault((row["words"], row["seed"]), []).append(row)
    found: dict[str, list[History]] = {
        words: [history for rows in same.values() if (history := _averaged(rows))]
        for words, same in runs.items()
    }
    return {words: histories for words, histories in found.items() if histories}


def is_record(path: Path) -> bool:
    """Whether a CSV is one of `qsnn measure`, by its first line."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().startswith("words,seed,")


def _parts(folder: Path, pattern: str) -> list[Path]:
    """The files of a pattern in the order of their versions."""
    found = folder.glob(pattern)
    return sorted(found, key=lambda file: (len(file.parent.name), file.parent.name))


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream, restval="", strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    if not rows or "epoch" not in rows[0]:
        raise DataError(f"{file} has no column `epoch` with rows below it")
    return rows


def _averaged(rows: Iterable[Mapping[str, str]]) -> dict[str, dict[int, float]]:
    logged: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        for metric, text in row.items():
            if metric and metric not in _KEYS and text and row["epoch"]:
                try:
                    epoch, value = int(row["epoch"]), float(text)
                except (TypeError, ValueError):
                    raise DataError(f"{metric} is {text!r} in epoch {row['epoch']!r}") from None
                logged.setdefault(metric, {}).setdefault(epoch, []).append(value)
    return {
        metric: {epoch: fmean(values) for epoch, values in sorted(epochs.items())}
        for metric, epochs in logged.items()
    }


@house_style()
def curves_figure(series: Mapping[str, Sequence[History]], metrics: Sequence[str]) -> Figure:
    """Draw metrics against epochs, with one panel per metric and one line per series.

    A line is the mean over the runs of a series, which differ in their seeds; a band around it is
    the 95 % confidence interval of the mean, by Student's t, in epochs that two runs or more have.
    Values that are not finite, as of a run that has diverged, are left out.
    Accuracies, as shares of 1, are drawn in per cent, and their bands within 0 and 100.

    Args:
        series: Runs, by what the series is called.
        metrics: What to draw, such as "train_loss" and "val_accuracy".

    Raises:
        ArgumentError: If there is no run or no metric, or no run has the metric.

    Example:
        >>> run = {"val_accuracy": {0: 0.5, 1: 0.75}}
        >>> axes = curves_figure({"float": [run]}, ["val_accuracy"]).axes[0]
        >>> axes.get_ylabel(), axes.lines[0].get_ydata().tolist()
        ('validation accuracy (%)', [50.0, 75.0])
    """
    if not series or not all(series.values()):
        raise ArgumentError("series", list(series), "one series or more, each with runs")
    known = dict.fromkeys(m for runs in series.values() for run in runs for m in run)
    for metric in metrics or [""]:
        if metric not in known:
            raise ArgumentError("metrics", metric, f"one or more of {', '.join(known)}")
    columns = columns_of(_PANEL, len(metrics))
    rows = ceil(len(metrics) / columns)
    figure, grid = new_figure(
        max(_PANEL * columns, 5.0), 2.9 * rows + 0.5, rows=rows, columns=columns
    )
    panels = grid.ravel()
    styles = zip(line_styles(len(series)), hues(len(series)), strict=True)
    for (label, runs), (style, hue) in zip(series.items(), styles, strict=True):
        for axes, metric in zip(panels, metrics, strict=False):
            _draw(axes, [run[metric] for run in runs if metric in run], metric, label, style, hue)
    for unused in panels[len(metrics) :]:
        unused.remove()
    for axes, metric in zip(panels, metrics, strict=False):
        axes.set(xlabel="epoch", ylabel=_in_words(metric))
        axes.xaxis.get_major_locator().set_params(integer=True)
    set_title(figure, "Training curves" + _seeds(series))
    set_legend(figure, 3)
    return figure


def _draw(
    axes: Any, runs: list[Mapping[int, float]], metric: str, label: str, style: Any, hue: str
) -> None:
    scale = 100 if _is_share(metric) else 1
    epochs = sorted({epoch for run in runs for epoch in run})
    found = [[scale * run[e] for run in runs if e in run and isfinite(run[e])] for e in epochs]
    drawn = [(e + 1, values) for e, values in zip(epochs, found, strict=True) if values]
    places, means = [e for e, _ in drawn], [fmean(values) for _, values in drawn]
    halves = [interval_of_mean(values) for _, values in drawn]
    every = max(1, len(places) // 8)
    axes.plot(places, means, label=label, markevery=every, **style | {"color": hue})
    if any(halves):
        both = list(zip(means, halves, strict=True))
        low, high = [mean - half for mean, half in both], [mean + half for mean, half in both]
        if _is_share(metric):
            low, high = [max(value, 0.0) for value in low], [min(value, 100.0) for value in high]
        axes.fill_between(places, low, high, color=hue, alpha=0.2, linewidth=0)


def _is_share(metric: str) -> bool:
    return "accuracy" in metric


def _in_words(metric: str) -> str:
    stage, _, name = metric.partition("_")
    words = {"train": "training", "val": "validation"}.get(stage, stage) + f" {name}"
    return words.replace("_", " ").strip() + " (%)" * _is_share(metric)


def _seeds(series: Mapping[str, Sequence[History]]) -> str:
    counts = sorted({len(runs) for runs in series.values()})
    if counts[-1] == 1:
        return ""
    numbers = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f": mean and 95 % interval over {numbers} runs"
