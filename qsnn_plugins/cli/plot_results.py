"""The measured results that `qsnn plot` draws, each with the account of its network."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from qsnn_plugins.cli.accounting import account
from qsnn_plugins.cli.training import RecipeError
from qsnn_plugins.cost import NetworkCost, memory_way
from qsnn_plugins.plot import MeasuredNetwork, bits_figure, memory_figure
from qsnn_plugins.reproduce import Result, load_results


def draw_results(options: Namespace, words: list[tuple[Namespace, list[str]]]) -> Any:
    """Draw a figure of measured results, those of some recipes or all.

    Raises:
        RecipeError: There are no results, or a recipe of theirs cannot be built.
        ArgumentError: A value is not allowed.
        DataError: A result is broken.
    """
    own, others = words[0]
    if others or own.ckpt_path or own.label:
        word = others[0] if others else "--ckpt_path" if own.ckpt_path else "--label"
        raise RecipeError(f"{options.figure} is drawn from results: {word} means nothing here")
    memory_way(options.way)
    wanted = [str(file) for file in own.config or ()]
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
        replace(network, label=", ".join(part for part in name if part not in common))
        for network, name in zip(networks, names, strict=True)
    ]


def _cost(result: Result) -> NetworkCost:
    absent = ("config", "ckpt_path", "rates", "input_shape", "spatial", "channel")
    options = Namespace(**dict.fromkeys(absent), noise=False, full_precision=True, batches=1)
    return account(options, ["-c", result.recipe, *result.overrides])[1]


def _membrane_bits(cost: NetworkCost) -> float:
    """The logarithm of the levels of a stored membrane, a mean over the neurons."""
    bits = [n.count * (math.log2(n.levels) if n.levels else n.membrane_bits) for n in cost.neurons]
    return sum(bits) / cost.neuron_count
