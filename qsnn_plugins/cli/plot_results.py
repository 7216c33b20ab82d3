"""The measured results that `qsnn plot` draws, each with the account of its network."""

from __future__ import annotations

import math
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from qsnn_plugins.cli.built import BuiltRecipe
from qsnn_plugins.cli.chosen_results import Runs
from qsnn_plugins.cost import NetworkCost, report
from qsnn_plugins.plot import MeasuredNetwork, bits_figure, memory_figure
from qsnn_plugins.reproduce import Result


def draw_results(figure: str, options: Namespace, chosen: list[Runs]) -> Any:
    """Draw a figure of measured results.

    Raises:
        RecipeError: A recipe of theirs cannot be built.
        ArgumentError: A value is not allowed.
        DataError: The data do not say what their samples are like.
    """
    series: dict[str, list[MeasuredNetwork]] = {}
    for runs in chosen:
        first = runs.results[0]
        built: Any = BuiltRecipe.build(runs.recipes)
        cost = report(built.model.network, None, built.sample_shape())
        accuracies = {run.seed: run.value for run in runs.results}
        network = MeasuredNetwork(
            first.row,
            tuple(accuracies.values()),
            _membrane_bits(cost),
            cost.memory(getattr(options, "convention", "chip")).total,
        )
        series.setdefault(runs.label or _series(first), []).append(network)
    drawn = {name: _short_labels(networks) for name, networks in series.items()}
    return bits_figure(drawn) if figure == "bits" else memory_figure(drawn)


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
