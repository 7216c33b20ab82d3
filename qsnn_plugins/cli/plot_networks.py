"""The trained networks that `qsnn plot` draws, from recipes and checkpoints."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch

from qsnn_plugins.cli.built import BuiltRecipe
from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.lightning import SpikingDetector
from qsnn_plugins.nn import quantized_neurons
from qsnn_plugins.plot import (
    BOUNDS,
    Scene,
    boxes_figure,
    clipping_figure,
    distributions_figure,
    measure_clipping,
    measure_membranes,
    measure_negative,
    measure_rates,
    membranes_figure,
    negative_figure,
    rates_figure,
    spike_distributions,
    weight_distributions,
)


def draw_networks(
    figure: str, options: Namespace, chosen: list[tuple[Namespace, Composition]]
) -> Any:
    """Draw a figure of one or several trained networks.

    Raises:
        RecipeError: What was asked for cannot be done.
        ArgumentError: A value is not allowed.
        DataError: The data are missing or broken.
    """
    networks = {}
    for own, recipes in chosen:
        built = BuiltRecipe.build(recipes, own.ckpt_path)
        label = getattr(own, "label", None) or _label(figure, built)
        if label in networks:
            raise RecipeError(f"two networks are called {label!r}: give each a --label")
        networks[label] = built

    def measured(measure: Callable[..., Any], *more: Any) -> dict[str, Any]:
        return {
            label: measure(
                built.model.eval().network, built.test_frames(options.batches), *more, built.model
            )
            for label, built in networks.items()
        }

    def layers(found: Any) -> Any:
        return _chosen_layers(found, options.layers)

    match figure:
        case "membranes":
            return membranes_figure(layers(*measured(measure_membranes).values()))
        case "clipping":
            bounds = tuple(options.bounds or BOUNDS)
            return clipping_figure(layers(*measured(measure_clipping, bounds).values()))
        case "negative":
            return negative_figure(layers(*measured(measure_negative).values()))
        case "distributions":
            weights = {n: weight_distributions(b.model.network) for n, b in networks.items()}
            spikes = measured(spike_distributions)
            return distributions_figure(
                {n: layers(f) for n, f in weights.items()},
                {n: layers(f) for n, f in spikes.items()},
            )
        case "rates":
            return rates_figure({n: layers(f) for n, f in measured(measure_rates).items()})
    return _boxes(options, networks)


def _chosen_layers(found: Any, patterns: list[str] | None) -> Any:
    """Keep the layers whose full names fit one of the patterns.

    Args:
        found: Rates by name, or what has a name each.
        patterns: Glob patterns; None keeps all.

    Raises:
        RecipeError: A pattern fits no layer.
    """
    names = list(found) if isinstance(found, dict) else [layer.name for layer in found]
    for pattern in patterns or []:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise RecipeError(f"--layers: no layer fits {pattern}; there are {', '.join(names)}")
    kept = {n for n in names if patterns is None or any(fnmatchcase(n, p) for p in patterns)}
    if isinstance(found, dict):
        return {name: value for name, value in found.items() if name in kept}
    return [layer for layer in found if layer.name in kept]


def _boxes(options: Namespace, networks: dict[str, Any]) -> Any:
    scenes, found = {}, {}
    for label, built in networks.items():
        if not isinstance(built.model, SpikingDetector):
            raise RecipeError(f"boxes needs a detector, and {label} is not one")
        frames, target = built.validation_item(options.scene)
        names = built.datamodule.class_names
        scenes[label] = Scene(frames[-1], target["boxes"], target["labels"], names)
        with torch.no_grad():
            (found[label],) = built.model.eval().find(frames.unsqueeze(0))
    first, *others = scenes.values()
    if any(not torch.equal(first.frame, other.frame) for other in others):
        raise RecipeError("boxes: the networks see different scenes; give them the same data")
    return boxes_figure(first, found, options.min_score)


def _label(figure: str, built: Any) -> str:
    """Spikes' bits and steps where rates are compared, else the recipes."""
    if figure != "rates":
        return built.recipes.name
    neurons: Any = quantized_neurons(built.model.network).values()
    bits = max((neuron.quant_spec.spike.bits for neuron in neurons), default=1)
    steps = getattr(built.model, "time_steps", None) or built.datamodule.time_steps
    return f"S/T = {bits}/{steps}"
