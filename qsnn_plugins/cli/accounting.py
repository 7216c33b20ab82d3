"""Build the network of a recipe, and count its costs."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch
from torch import nn

from qsnn_plugins.cli.built import BuiltRecipe
from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.cost import (
    Activity,
    ActivityRecorder,
    NetworkCost,
    measure_activity,
    report,
)
from qsnn_plugins.cost.layers import FLOAT_BITS
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import channel_gates, quantized_neurons

_SEED = 42
_BATCHES = 4


def account(
    options: Namespace, recipes: Composition, given: tuple[int, ...] | None
) -> tuple[str, NetworkCost]:
    """Build the network of a recipe and count its costs, for a given input shape if there is one.

    Returns:
        The name of the recipes, and the costs.

    Raises:
        RecipeError: What was asked for cannot be done.
        ArgumentError: A value is not allowed.
        DataError: The data are missing or broken.
    """
    checkpoint = options.ckpt_path
    built = BuiltRecipe.build(recipes, checkpoint, None if checkpoint else given)
    network, shape = built.model.network, given or built.sample_shape()
    cost = report(network, None, shape, activity=_activity(options, built, shape))
    if not (options.full_precision or _quantizes(cost)):
        raise RecipeError(
            f"the network of {recipes.name} has no quantized weights or membranes: "
            "add --full_precision to count it anyway"
        )
    return recipes.name, cost


def _quantizes(cost: NetworkCost) -> bool:
    weights = [p.bits for p in cost.parameters if p.role == "weights"]
    return any(bits < FLOAT_BITS for bits in (*weights, *(n.membrane_bits for n in cost.neurons)))


def _check_shares(options: Namespace, network: nn.Module) -> None:
    """Refuse shares of what the network does not mask."""
    neurons: list[Any] = [*quantized_neurons(network).values()]
    masks = any(neuron.quant_spec.pruning.spatial_ratio for neuron in neurons)
    overlay = "(SpQuant-SNN's recipes have them with -c recipes/overlays/pruned.yaml)"
    if options.spatial is not None and not masks:
        allowed = f"it for a network with spatial masks {overlay}"
        raise ArgumentError("spatial", options.spatial, allowed)
    if options.channel is not None and not channel_gates(network):
        raise ArgumentError("channel", options.channel, f"it for a network with gates {overlay}")


def _activity(options: Namespace, built: BuiltRecipe, shape: tuple[int, ...]) -> Activity | None:
    if options.rates is not None:
        _check_shares(options, built.model.network)
        return Activity.uniform(options.rates, options.spatial, options.channel)
    if options.noise:
        generator = torch.Generator().manual_seed(_SEED)
        steps, _, *frame = shape
        noise = (torch.rand(steps, 8, *frame, generator=generator) < 0.5).float()
        source = (
            "measured on one batch of noise (8 samples, half of the values 1), untrained weights"
        )
        return measure_activity(built.model.network, [noise], source)
    if options.ckpt_path is None:
        return None
    model, samples = built.model.eval(), 0
    with ActivityRecorder(model.network) as recorder, torch.no_grad():
        for frames in built.test_frames(_BATCHES if options.batches is None else options.batches):
            model(frames)
            samples += len(frames)
    data = type(built.datamodule).__name__
    where = f"{samples} evenly spaced test samples of {data}, {options.ckpt_path}"
    return recorder.activity(f"measured on {where}")
