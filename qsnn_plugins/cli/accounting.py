"""The network of a recipe, and what it is counted with."""

# ruff: noqa: E402
from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
import yaml

from qsnn_plugins.torchvision_ops import mend

mend()  # Lightning imports torchvision, which may need it

from jsonargparse import Namespace as Settings
from lightning import Trainer

from qsnn_plugins.cli.cost import recipe_words
from qsnn_plugins.cli.recipe_cli import RecipeCLI, check_checkpoint, unloadable
from qsnn_plugins.cli.training import RecipeError
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
_NO_DATA = "lightning.LightningDataModule"


class _BuildOnly(RecipeCLI):
    """A recipe's model, its data where they are needed, and no trainer."""

    needs_data = True

    def before_instantiate_classes(self) -> None:
        """Leave the run's folder alone, since nothing runs, and files that nobody reads."""
        if not self.needs_data:
            self.config.data = Settings(class_path=_NO_DATA, init_args=Settings())

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build none."""
        return None  # type: ignore[return-value]


def account(options: Namespace, others: list[str]) -> tuple[str, NetworkCost]:
    """Build the network of a recipe and account for it.

    Returns:
        The recipes' name, and the account.

    Raises:
        RecipeError: What was asked for cannot be done.
        ArgumentError: A value is not allowed.
        DataError: The data are missing or broken.
    """
    check_checkpoint(options.ckpt_path)
    words = recipe_words(options, others)
    _BuildOnly.needs_data = options.ckpt_path is not None or options.input_shape is None
    built = _BuildOnly.run(words, run=False, args=words)
    model: Any = built.model
    network = getattr(model, "network", None)
    if not isinstance(network, torch.nn.Module):
        raise RecipeError(f"{type(model).__name__} has no `network` to account for")
    shape = _input_shape(options.input_shape, model, built.datamodule)
    if options.ckpt_path:
        _load(model, _checkpoint(options.ckpt_path, built))
    cost = report(network, None, shape, activity=_activity(options, built, network, shape))
    if not (options.full_precision or _quantizes(cost)):
        raise RecipeError(
            f"the network of {built.recipes.name} quantizes nothing, neither weights nor "
            "membranes: --full_precision counts it all the same"
        )
    return built.recipes.name, cost


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


def _input_shape(given: str | None, model: Any, data: Any) -> tuple[int, ...]:
    if given is not None:
        try:
            return tuple(int(size) for size in given.split(","))
        except ValueError:
            raise ArgumentError("input_shape", given, "integers, as in 10,1,2,48,48") from None
    steps = getattr(model, "time_steps", None) or getattr(data, "time_steps", None)
    frame = getattr(data, "frame_shape", None)
    if steps is None or frame is None:
        raise RecipeError(
            f"{type(data).__name__} does not say the shape of its samples (time_steps and "
            "frame_shape): give --input_shape T,1,..."
        )
    return (steps, 1, *frame)


def _activity(
    options: Namespace, built: RecipeCLI, network: torch.nn.Module, shape: tuple[int, ...]
) -> Activity | None:
    if options.rates is not None:
        return Activity.given(options.rates, options.spatial, options.channel)
    for name in ("spatial", "channel"):
        if getattr(options, name) is not None:
            raise ArgumentError(name, getattr(options, name), "it together with --rates")
    if options.noise:
        generator = torch.Generator().manual_seed(_SEED)
        steps, _, *frame = shape
        noise = (torch.rand(steps, 8, *frame, generator=generator) < 0.5).float()
        told = "measured on one batch of noise (8 samples, half of the values 1), untrained weights"
        return measure_activity(network, [noise], told)
    return _measure(options, built, network) if options.ckpt_path else None


def _measure(options: Namespace, built: RecipeCLI, network: torch.nn.Module) -> Activity:
    if options.batches < 1:
        raise ArgumentError("batches", options.batches, "an integer from 1")
    data, model = built.datamodule, built.model.eval()
    data.prepare_data()
    data.setup("test")
    samples = 0
    with ActivityRecorder(network) as recorder, torch.no_grad():
        for place, (frames, *_) in enumerate(data.test_dataloader()):
            if place == options.batches:
                break
            model(frames)
            samples += len(frames)
    where = f"{samples} test samples of {type(data).__name__}, {options.ckpt_path}"
    return recorder.activity(f"measured on {where}")


def _checkpoint(path: str, built: RecipeCLI) -> Path:
    if path != "last":
        return Path(path)
    root = built.config.trainer.default_root_dir or Path("runs", built.recipes.name)
    found = sorted(Path(root, "checkpoints").glob("last*.ckpt"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise RecipeError(
            f"there is no last checkpoint in {root}: run `fit` with the same recipes first, or "
            "give --ckpt_path a file"
        )
    return found[-1]


def _load(model: torch.nn.Module, path: Path) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    except Exception:  # a file of any kind can be given
        allowed = "tensors and plain values, with a state_dict among them"
        raise RecipeError(f"{path} is no checkpoint that can be read: {allowed}") from None
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise RecipeError(unloadable(error) or f"{path} does not fit") from None
