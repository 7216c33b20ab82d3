"""The measured results that a command line of `qsnn plot` asks for, before anything is built."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import NamedTuple

from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.cost import memory_convention
from qsnn_plugins.reproduce import Result, load_results


class Runs(NamedTuple):
    """Results of one network, whose seeds alone differ, and what they were measured with."""

    results: list[Result]
    recipes: Composition


def choose_results(options: Namespace, chosen: list[tuple[Namespace, Composition]]) -> list[Runs]:
    """Find the results of some recipes, or all.

    Raises:
        RecipeError: There are none, their recipes are gone, or they cannot be compared.
        ArgumentError: A value is not allowed.
        DataError: A result is broken.
    """
    for own, recipes in chosen:
        if word := _meaningless(own, recipes):
            raise RecipeError(f"{options.figure} is drawn from results: {word} means nothing here")
    memory_convention(options.convention)
    wanted = _wanted(options.results, [recipes.files for _, recipes in chosen])
    # cells that share a run count once
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in wanted:
        groups.setdefault((result.recipe, *result.overrides, result.commit), []).append(result)
    found = [
        Runs(results, Composition.of(["-c", results[0].recipe, *results[0].overrides]))
        for results in groups.values()
    ]
    data = dict.fromkeys(_data_name(runs.recipes) for runs in found)
    if options.figure == "memory" and len(data) > 1:
        raise RecipeError(
            f"accuracies on {', '.join(data)} have no common front: choose with -c RECIPE, and "
            "-c OVERLAY where a recipe was measured on both"
        )
    return found


def _meaningless(own: Namespace, recipes: Composition) -> str | None:
    """An option that chooses no results."""
    given = [place for place in recipes.places.values() if place.file is None]
    options = [str(place) for place in given if not isinstance(place.value, dict)]
    options += [name for name in ("--ckpt_path", "--label") if getattr(own, name.strip("-"))]
    return next(iter([*options, *recipes.rest]), None)


def _wanted(folder: Path, choices: list[tuple[Path, ...]]) -> list[Result]:
    """Results whose commands have all the recipes and overlays of one of the choices."""
    results = [result for result in load_results(folder) if result.unit == "%"]
    files = [{str(file) for file in choice} for choice in choices]
    found = [
        result
        for result in results
        if any(choice <= {result.recipe, *result.overrides} for choice in files)
    ]
    if found:
        return found
    of = " and ".join("+".join(sorted(choice)) for choice in files if choice)
    where = f"{folder}: `qsnn measure` makes them"
    raise RecipeError(f"there are no results{' of ' * bool(of)}{of} in {where}")


def _data_name(recipes: Composition) -> str:
    data = recipes.config.get("data")
    name = data.get("class_path") if isinstance(data, dict) else data
    return str(name).rpartition(".")[2]
