"""The network of a recipe, and what it is counted with."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import torch
import yaml

from qsnn_plugins.cli.built import BuiltRecipe
from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.cost import (
    Activity,
    ActivityRecorder,
    EnergyTable,
    NetworkCost,
    OperationEnergy,
    energy_table,
    measure_activity,
    report,
)
from qsnn_plugins.cost.layers import FLOAT_BITS
from qsnn_plugins.errors import ArgumentError

_SEED = 42


def account(options: Namespace, recipes: Composition) -> tuple[str, NetworkCost]:
    """Build the network of a recipe and account for it.

    Returns:
        The recipes' name, and the account.

    Raises:
        RecipeError: What was asked for cannot be done.
        ArgumentError: A value is not allowed.
        DataError: The data are missing or broken.
    """
    checkpoint = options.ckpt_path
    given = None if options.input_shape is None else _shape(options.input_shape)
    built = BuiltRecipe.build(recipes, checkpoint, None if checkpoint else given)
    network, shape = built.model.network, given or built.sample_shape()
    cost = report(network, None, shape, activity=_activity(options, built, shape))
    if not (options.full_precision or _quantizes(cost)):
        raise RecipeError(
            f"the network of {recipes.name} quantizes nothing, neither weights nor "
            "membranes: --full_precision counts it all the same"
        )
    return recipes.name, cost


def _quantizes(cost: NetworkCost) -> bool:
    weights = [p.bits for p in cost.parameters if p.role == "weights"]
    return any(bits < FLOAT_BITS for bits in (*weights, *(n.membrane_bits for n in cost.neurons)))


def energies(table: str) -> EnergyTable:
    """Look up a table of energies, or read one from a YAML file.

    Raises:
        ArgumentError: If there is no such table, or the file does not hold one.
    """
    file = Path(table)
    if not file.is_file():
        return energy_table(table)
    try:
        content = yaml.safe_load(file.read_text())
        rows = {key: OperationEnergy(**content[key]) for key in ("int8", "float32")}
        return EnergyTable(str(content["source"]), **rows)
    except (yaml.YAMLError, KeyError, TypeError) as error:
        allowed = "a YAML file with source, and add and multiply (pJ) of int8 and of float32"
        raise ArgumentError("energy", table, allowed) from error


def _shape(text: str) -> tuple[int, ...]:
    """Read a shape, such as 10,1,2,48,48."""
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        raise ArgumentError("input_shape", text, "integers, as in 10,1,2,48,48") from None


def _activity(options: Namespace, built: BuiltRecipe, shape: tuple[int, ...]) -> Activity | None:
    if options.rates is not None:
        return Activity.uniform(options.rates, options.spatial, options.channel)
    for name in ("spatial", "channel"):
        if getattr(options, name) is not None:
            raise ArgumentError(name, getattr(options, name), "it together with --rates")
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
        for frames in built.test_frames(options.batches):
            model(frames)
            samples += len(frames)
    where = f"{samples} test samples of {type(built.datamodule).__name__}, {options.ckpt_path}"
    return recorder.activity(f"measured on {where}")
