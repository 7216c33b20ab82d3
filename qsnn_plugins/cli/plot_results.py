"""The measured results that `qsnn plot` draws, each with the account of its network."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from qsnn_plugins.cli.built import BuiltRecipe
from qsnn_plugins.cli.chosen_results import Runs, metric_of
from qsnn_plugins.cost import NetworkCost, report
from qsnn_plugins.plot import MeasuredNetwork, bits_figure, tradeoff_figure
from qsnn_plugins.progress import tracked
from qsnn_plugins.reproduce import Result, load_paper
from qsnn_plugins.reproduce.run import convention_of

_FLOAT_BITS = 32
_CHIP = "weights and membranes"


class _Point(NamedTuple):
    """A network, and what tells it from others: the first parts are those of its series."""

    method: str
    place: str
    row: tuple[str, ...]
    label: str | None
    network: MeasuredNetwork


def draw_results(figure: str, options: Namespace, chosen: list[Runs]) -> Any:
    """Draw a figure of measured results.

    Raises:
        RecipeError: A recipe of theirs cannot be built.
        ArgumentError: A value is not allowed.
        DataError: The data do not say what their samples are like.
    """
    if figure == "bits":
        return bits_figure(_lines([_point(runs, *_counted(runs)) for runs in _told(chosen)]))
    convention: str | None = options.convention
    sizes = [_recorded(runs, convention) or _counted(runs, convention) for runs in _told(chosen)]
    points = [_point(runs, *size) for runs, size in zip(chosen, sizes, strict=True)]
    counted = f"memory as {convention} counts it" if convention else _CHIP
    return tradeoff_figure(_methods(points), counted)


def _told(chosen: list[Runs]) -> Iterator[Runs]:
    return tracked(chosen, "counting the bytes of networks")


def _point(runs: Runs, membrane_bits: float | None, memory: int) -> _Point:
    first = runs.results[0]
    row = load_paper(first.paper).tables[first.table].rows[first.row]
    bits = [row.settings.get(name) for name in ("weight_bits", "membrane_bits")]
    method = str(row.settings.get("method") or first.paper)
    # a method has a column of its own, and what was fine-tuned a marker
    parts = (part for part in first.row.split(", ") if part != method)
    network = MeasuredNetwork(
        "",
        tuple({(run.seed, *run.overrides): run.value for run in runs.results}.values()),
        membrane_bits,
        memory,
        is_float={bit for bit in bits if bit is not None} == {_FLOAT_BITS},
        is_fine_tuned=row.start is not None,
        metric=metric_of(first),
    )
    row_parts = tuple(part for part in parts if part not in ("from float", "from scratch"))
    return _Point(method, _place(first), row_parts, runs.label, network)


def _recorded(runs: Runs, convention: str | None) -> tuple[None, int] | None:
    """Bytes of parameters and membranes, where they were recorded as a chip packs them."""
    first = runs.results[0]
    if convention or not first.weight_bytes or convention_of(first.paper) != "chip":
        return None
    return None, first.weight_bytes + first.state_bytes


def _counted(runs: Runs, convention: str | None = None) -> tuple[float, int]:
    """Bits of a stored membrane and bytes, counted on the network of the recipe."""
    built: Any = BuiltRecipe.build(runs.recipes)
    cost = report(built.model.network, None, built.sample_shape())
    return _membrane_bits(cost), _bytes(cost, convention)


def _place(result: Result) -> str:
    """The network and the data, and what else was changed."""
    added = [Path(word).stem for word in result.changes if word.endswith(".yaml")]
    if not result.network:
        return "+".join([Path(result.recipe).stem, *added])
    return f"{result.network} on {result.data}"


def _bytes(cost: NetworkCost, convention: str | None) -> int:
    """Parameters and membranes, or what a convention counts."""
    if convention:
        return cost.memory(convention).total
    memory = cost.memory("chip")
    return sum(memory.parameters.values()) + memory.membranes


def _membrane_bits(cost: NetworkCost) -> float:
    """Whole bits of a stored membrane, a mean over the neurons."""
    return sum(n.count * n.membrane_bits for n in cost.neurons) / cost.neuron_count


def _lines(points: list[_Point]) -> dict[str, list[MeasuredNetwork]]:
    """A line for each method on each network, with the float one of it; or for each label."""
    series: dict[tuple[str, ...], list[MeasuredNetwork]] = {}
    for point in points:
        if point.label or not point.network.is_float:
            series.setdefault(_key(point), []).append(point.network)
    for point in points:
        if not point.label and point.network.is_float:
            own = [key for key in series if key[-1] == point.place] or [_key(point)]
            for key in own:
                series.setdefault(key, []).append(point.network)
    return _named(series)


def _methods(points: list[_Point]) -> dict[str, list[MeasuredNetwork]]:
    """The points of each method with labels that tell them apart; or of each label."""
    shared = {part for part in points[0].row if all(part in point.row for point in points)}
    series: dict[tuple[str, ...], list[MeasuredNetwork]] = {}
    for point in points:
        parts = [part for part in point.row if part not in shared]
        label = "" if point.network.is_float else ", ".join(parts)
        network = replace(point.network, label=label)
        series.setdefault(_key(point), []).append(network)
    return _named(series)


def _key(point: _Point) -> tuple[str, ...]:
    return (point.label,) if point.label else (point.method, point.place)


def _named(series: dict[tuple[str, ...], Any]) -> dict[str, Any]:
    """Leave out of the names what all have, such as their one network."""
    places = {key[1] for key in series if len(key) > 1}
    methods = {key[0] for key in series if len(key) > 1}
    return {_name(key, len(methods) > 1, len(places) > 1): found for key, found in series.items()}


def _name(key: Iterable[str], has_methods: bool, has_places: bool) -> str:
    method, *place = key
    if not place:
        return method
    parts = ([method] if has_methods or not has_places else []) + (place if has_places else [])
    return ", ".join(parts)
