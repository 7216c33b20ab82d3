"""The networks and results that `qsnn plot` draws, from recipes and checkpoints."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from qsnn_plugins.cli.accounting import account
from qsnn_plugins.cli.built import BuiltRecipe
from qsnn_plugins.cli.cost import recipe_words
from qsnn_plugins.cli.recipe_cli import check_checkpoint
from qsnn_plugins.cli.training import RecipeError
from qsnn_plugins.cost import NetworkCost, memory_way
from qsnn_plugins.nn import quantized_neurons
from qsnn_plugins.plot import (
    BOUNDS,
    MeasuredNetwork,
    bits_figure,
    clipping_figure,
    distributions_figure,
    measure_clipping,
    measure_negative,
    measure_rates,
    memory_figure,
    negative_figure,
    rates_figure,
    spike_distributions,
    weight_distributions,
)
from qsnn_plugins.reproduce import Result, load_results

Words = tuple[Namespace, list[str]]


def draw_networks(options: Namespace, words: list[Words]) -> Any:
    """Draw a figure of one or several trained networks.

    Raises:
        RecipeError: What was asked for cannot be done.
        ArgumentError: A value is not allowed.
        DataError: The data are missing or broken.
    """
    for own, _ in words:
        if own.ckpt_path is None:
            raise RecipeError(f"{options.figure} is measured: give each network its --ckpt_path")
        check_checkpoint(own.ckpt_path)
    draw = {
        "clipping": _clipping,
        "negative": _negative,
        "distributions": _distributions,
        "rates": _rates,
    }
    networks = {}
    for own, others in words:
        built = BuiltRecipe.build(recipe_words(own, others))
        built.load(own.ckpt_path)
        label = own.label or _label(options.figure, built)
        if label in networks:
            raise RecipeError(f"two networks are called {label!r}: give each a --label")
        networks[label] = built
    return draw[options.figure](options, networks)


def _clipping(options: Namespace, networks: dict[str, Any]) -> Any:
    (built,) = networks.values()
    bounds = tuple(options.bounds or BOUNDS)
    return clipping_figure(measure_clipping(*_parts(built, options), bounds, built.model))


def _negative(options: Namespace, networks: dict[str, Any]) -> Any:
    (built,) = networks.values()
    return negative_figure(measure_negative(*_parts(built, options), built.model))


def _distributions(options: Namespace, networks: dict[str, Any]) -> Any:
    return distributions_figure(
        {label: weight_distributions(built.model.network) for label, built in networks.items()},
        {
            label: spike_distributions(*_parts(built, options), built.model)
            for label, built in networks.items()
        },
    )


def _rates(options: Namespace, networks: dict[str, Any]) -> Any:
    return rates_figure(
        {
            label: measure_rates(*_parts(built, options), built.model)
            for label, built in networks.items()
        }
    )


def _parts(built: Any, options: Namespace) -> tuple[Any, Iterable[Any]]:
    return built.model.eval().network, built.test_frames(options.batches)


def _label(figure: str, built: Any) -> str:
    """Spikes' bits and steps where rates are compared, else the recipes."""
    if figure != "rates":
        return built.recipes.name
    neurons: Any = quantized_neurons(built.model.network).values()
    bits = max((neuron.quant_spec.spike.bits for neuron in neurons), default=1)
    steps = getattr(built.model, "time_steps", None) or built.datamodule.time_steps
    return f"S/T = {bits}/{steps}"


def draw_results(options: Namespace, others: list[str]) -> Any:
    """Draw a figure of measured results.

    Raises:
        RecipeError: There are no results, or a recipe of theirs cannot be built.
        ArgumentError: A value is not allowed.
        DataError: A result is broken.
    """
    if others:
        raise RecipeError(f"{options.figure} is drawn from results: {others[0]} means nothing here")
    memory_way(options.way)
    wanted = [str(file) for file in options.config or ()]
    found = [
        result
        for result in load_results(options.results)
        if result.unit == "%" and (not wanted or result.recipe in wanted)
    ]
    if not found:
        of = f" of {', '.join(wanted)}" if wanted else ""
        raise RecipeError(
            f"there are no results{of} in {options.results}: `qsnn measure` makes them"
        )
    series: dict[str, list[MeasuredNetwork]] = {}
    for runs in _same_words(found):
        cost, first = _cost(runs[0]), runs[0]
        accuracies = {run.seed: run.value for run in runs}
        network = MeasuredNetwork(
            first.row,
            tuple(accuracies.values()),
            _membrane_bits(cost),
            cost.memory(options.way).total,
        )
        series.setdefault(_series(first), []).append(network)
    drawn = {name: _short_labels(networks) for name, networks in series.items()}
    draw: Callable[..., Any] = bits_figure if options.figure == "bits" else memory_figure
    return draw(drawn)


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
    """Leave out of the rows' names what all have in common."""
    names = [network.label.split(", ") for network in networks]
    common = set.intersection(*map(set, names)) if len(names) > 1 else set()
    return [
        MeasuredNetwork(
            ", ".join(part for part in name if part not in common),
            network.accuracies,
            network.membrane_bits,
            network.memory,
        )
        for name, network in zip(names, networks, strict=True)
    ]


def _cost(result: Result) -> NetworkCost:
    absent = ("config", "ckpt_path", "rates", "input_shape", "spatial", "channel")
    options = Namespace(**dict.fromkeys(absent), noise=False, full_precision=True, batches=1)
    return account(options, ["-c", result.recipe, *result.overrides])[1]


def _membrane_bits(cost: NetworkCost) -> float:
    """The logarithm of the levels of a stored membrane, a mean over the neurons."""
    bits = [n.count * (math.log2(n.levels) if n.levels else n.membrane_bits) for n in cost.neurons]
    return sum(bits) / cost.neuron_count
