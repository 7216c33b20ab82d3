"""The measured results that `qsnn plot` draws, each with the account of its network."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from qsnn_plugins.cli.built import BuiltRecipe
from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.cost import NetworkCost, memory_convention, report
from qsnn_plugins.plot import MeasuredNetwork, bits_figure, memory_figure
from qsnn_plugins.reproduce import Result, load_results


def draw_results(options: Namespace, chosen: list[tuple[Namespace, Composition]]) -> Any:
    """Draw a figure of measured results, those of some recipes or all.

    Raises:
        RecipeError: There are no results, a recipe of theirs cannot be built, or their accuracies
            cannot be compared.
        ArgumentError: A value is not allowed.
        DataError: A result is broken.
    """
    for own, recipes in chosen:
        if word := _meaningless(own, recipes):
            raise RecipeError(f"{options.figure} is drawn from results: {word} means nothing here")
    memory_convention(options.convention)
    series: dict[str, list[MeasuredNetwork]] = {}
    data: dict[str, None] = {}
    for runs in _same_words(_wanted(options.results, [recipes.files for _, recipes in chosen])):
        first = runs[0]
        built: Any = BuiltRecipe.build(Composition.of(["-c", first.recipe, *first.overrides]))
        data[type(built.datamodule).__name__] = None
        cost = report(built.model.network, None, built.sample_shape())
        accuracies = {run.seed: run.value for run in runs}
        network = MeasuredNetwork(
            first.row,
            tuple(accuracies.values()),
            _membrane_bits(cost),
            cost.memory(options.convention).total,
        )
        series.setdefault(_series(first), []).append(network)
    drawn = {name: _short_labels(networks) for name, networks in series.items()}
    if options.figure == "bits":
        return bits_figure(drawn)
    if len(data) > 1:
        raise RecipeError(
            f"accuracies on {', '.join(data)} have no common front: choose with -c RECIPE, and "
            "-c OVERLAY where a recipe was measured on both"
        )
    return memory_figure(drawn)


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


def _same_words(results: list[Result]) -> Iterable[list[Result]]:
    """Results of one network, whose seeds alone differ; cells that share a run count once."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        groups.setdefault((result.recipe, *result.overrides, result.commit), []).append(result)
    return groups.values()


def _series(result: Result) -> str:
    """The recipe, with what makes its runs others than the paper's."""
    added = [Path(word).stem for word in result.changes if word.endswith(".yaml")]
    return "+".join([Path(result.recipe).stem, *added])


def _short_labels(networks: list[MeasuredNetwork]) -> list[MeasuredNetwork]:
    """Keep of the rows' names the last parts, as many as tell them apart."""
    names = [network.label.split(", ") for network in networks]
    count, most = 1, max(map(len, names))
    while count < most and len({tuple(name[-count:]) for name in names}) < len(names):
        count += 1
    return [
        replace(network, label=", ".join(name[-count:]))
        for network, name in zip(networks, names, strict=True)
    ]


def _membrane_bits(cost: NetworkCost) -> float:
    """The logarithm of the levels of a stored membrane, a mean over the neurons."""
    bits = [n.count * (math.log2(n.levels) if n.levels else n.membrane_bits) for n in cost.neurons]
    return sum(bits) / cost.neuron_count
