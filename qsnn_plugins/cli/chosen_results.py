"""The measured results that a command line of `qsnn plot` asks for, before anything is built."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.cost import memory_convention
from qsnn_plugins.reproduce import Result, load_paper, load_results
from qsnn_plugins.reproduce.comparison import FOLD
from qsnn_plugins.reproduce.results import RESULTS, fitting_rows, read_results


class Runs(NamedTuple):
    """Results of one network that differ in seeds and folds alone, and how they were measured."""

    results: list[Result]
    recipes: Composition
    label: str | None


def choose_results(figure: str, options: Namespace, chosen: list[Namespace]) -> list[Runs]:
    """Find the results that each series asks for.

    Raises:
        RecipeError: There are none, their recipes are gone, or they cannot be compared.
        ArgumentError: A value is not allowed.
        DataError: A result is broken.
    """
    memory_convention(getattr(options, "convention", None) or "chip")
    # what two series ask for without a label counts once
    by_words = {
        (runs.label, *map(str, runs.results)): runs for own in chosen for runs in _runs(own)
    }
    found = list(by_words.values())
    data = dict.fromkeys(_data_name(runs.recipes) for runs in found)
    if figure == "tradeoff" and len(data) > 1:
        raise RecipeError(
            f"accuracies on {', '.join(data)} cannot be compared: choose one data set with "
            "-c RECIPE, and with -c OVERLAY if a recipe was measured on several"
        )
    metrics = dict.fromkeys(metric_of(runs.results[0]) for runs in found)
    if len(metrics) > 1:
        raise RecipeError(
            f"{', '.join(metrics)} cannot be compared: choose one recipe with -c RECIPE"
        )
    return found


def metric_of(result: Result) -> str:
    """What was measured, in words: accuracy, or what a detector's column is called."""
    column = load_paper(result.paper).tables[result.table].columns[result.column]
    return "accuracy" if column.metric == "test_accuracy" else column.title


def _runs(own: Namespace) -> list[Runs]:
    # cells that share a run count once; of a detector's several metrics the first is drawn
    groups: dict[tuple[str, ...], dict[str, list[Result]]] = {}
    for result in _wanted(own.results or [RESULTS], own.config, own.rows or ""):
        words = (word for word in result.overrides if not word.startswith(FOLD))
        by_metric = groups.setdefault((result.recipe, *words), {})
        by_metric.setdefault(metric_of(result), []).append(result)
    return [
        Runs(results, Composition.of(["-c", results[0].recipe, *results[0].overrides]), own.label)
        for results, *_ in (by_metric.values() for by_metric in groups.values())
    ]


def _wanted(paths: list[Path], files: list[str], rows: str) -> list[Result]:
    """Results whose commands have all the given files, of the rows that a text stands for."""
    found = [
        result
        for path in paths
        for result in _read(path)
        if result.unit == "%" and set(files) <= {result.recipe, *result.overrides}
    ]
    fitting = fitting_rows((result.row for result in found), rows)
    if fitting:
        return [result for result in found if result.row in fitting]
    where = f"{', '.join(map(str, paths))}: `qsnn measure` makes them"
    wanted = f" of {'+'.join(files)}" if files else ""
    wanted += f" with {rows!r} in their rows" if rows else ""
    raise RecipeError(f"there are no results{wanted} in {where}")


def _read(path: Path) -> Iterable[Result]:
    if path.is_dir() or path == RESULTS:
        return load_results(path)
    if not path.is_file():
        raise RecipeError(f"there is no file of results {path}")
    if path.suffix != ".json":
        raise RecipeError(f"{path} is not a JSON file of results; recipes need -c before them")
    return read_results(path)


def _data_name(recipes: Composition) -> str:
    data = recipes.config.get("data")
    name = data.get("class_path") if isinstance(data, dict) else data
    return str(name).rpartition(".")[2]
