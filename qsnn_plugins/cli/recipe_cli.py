"""LightningCLI, with the few habits that let a recipe say only what is particular to it."""

# ruff: noqa: E402
from __future__ import annotations

import os
import re
from argparse import ArgumentError as ArgparseError
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self

from qsnn_plugins.torchvision_ops import register_missing_ops

register_missing_ops()  # Lightning imports torchvision, which may need it

from jsonargparse import Namespace
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from qsnn_plugins.cli.complaints import distil, place_argument
from qsnn_plugins.cli.recipes import Recipes
from qsnn_plugins.cli.training import RecipeError
from qsnn_plugins.errors import QSNNError

# Classes that are imported answer to their short names in YAML.
_SHORT_NAMES_FROM = ("lightning", "data", "models")

_LOGGER = "lightning.pytorch.loggers.CSVLogger"
_NAMED_CHECKPOINTS = ("last", "best", "hpc")


class RecipeCLI(LightningCLI):
    """LightningCLI for recipes: a folder for each, and one sentence where a recipe is wrong.

    A run of `-c spquant_vgg9.yaml -c overlays/embedded.yaml` lives in
    `runs/spquant_vgg9+embedded/`: `checkpoints/`, and a `fit/version_N/` or `test/version_N/` with
    `metrics.csv` and the whole configuration. A recipe that sets `trainer.default_root_dir`,
    `trainer.logger` or a checkpoint callback is left as it is.
    """

    recipes: Recipes

    @classmethod
    def run(cls, words: list[str], **how: Any) -> Self:
        """Parse `sys.argv`, whose words after the program are `words`, and do what it says.

        Args:
            words: What stands on the command line.
            **how: Further arguments of LightningCLI.

        Raises:
            RecipeError: What was asked for cannot be built.
            QSNNError: Any other error of this package, while it ran.
        """
        for package in _SHORT_NAMES_FROM:
            module = import_module(f"qsnn_plugins.{package}")
            for name in module.__all__:
                getattr(module, name)
        cls.recipes = Recipes.of(words)
        quiet = {"exit_on_error": False}
        try:
            return cls(
                LightningModule,
                LightningDataModule,
                save_config_kwargs={"overwrite": True},
                seed_everything_default=42,
                subclass_mode_model=True,
                subclass_mode_data=True,
                auto_configure_optimizers=False,
                parser_kwargs=quiet | {word: dict(quiet) for word in cls.subcommands()},
                **how,
            )
        except ArgparseError as error:
            raise RecipeError(distil(error.message, cls.recipes)) from None
        except (RuntimeError, UnpicklingError) as error:
            if reason := unloadable(error):
                raise RecipeError(reason) from None
            raise

    def _parse_ckpt_path(self) -> None:
        """Take weights, and nothing else, from a checkpoint.

        Lightning lays the checkpoint's hyper-parameters over the configuration; here the recipe
        alone says what the network is, and a checkpoint that does not fit it is an error.
        """

    def before_instantiate_classes(self) -> None:
        """Fill in the run's folder and its logger; allow checkpoints to hold plain values only."""
        settings = self.config[self.subcommand]
        check_checkpoint(settings.get("ckpt_path"))
        if settings.get("weights_only") is not False:
            # The one switch that every version of Lightning heeds, and its worker processes too.
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
        trainer = settings.trainer
        if trainer.default_root_dir is None:
            trainer.default_root_dir = str(Path("runs", self.recipes.name or "unnamed"))
        if trainer.logger is None:
            where = Namespace(save_dir=str(trainer.default_root_dir), name=self.subcommand)
            trainer.logger = Namespace(class_path=_LOGGER, init_args=where)

    def instantiate_classes(self) -> None:
        """Build the data, the model and the trainer.

        Raises:
            RecipeError: One of them refused its arguments.
        """
        try:
            super().instantiate_classes()
        except (QSNNError, MisconfigurationException, TypeError, ValueError) as error:
            reason = _refusal(error)
            if reason is None:
                raise
            raise RecipeError(place_argument(reason, self.recipes)) from None

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer, with a checkpoint to go on from unless the recipe has its own."""
        from qsnn_plugins.lightning import RunCheckpoint

        settings = self._get(self.config_init, "trainer")
        callbacks = settings["callbacks"] or []
        callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
        wanted = settings["enable_checkpointing"] is not False
        if wanted and not any(isinstance(callback, Checkpoint) for callback in callbacks):
            # Named here, since Lightning looks for `last` before it sets up its callbacks.
            folder = str(Path(settings["default_root_dir"], "checkpoints"))
            kwargs["callbacks"] = [*callbacks, RunCheckpoint(folder)]
        return super().instantiate_trainer(**kwargs)

    def _check_last(self) -> None:
        """Refuse to evaluate untrained weights: Lightning warns and goes on with them."""
        if self._get(self.config, "ckpt_path") != "last":
            return
        if not any(
            callback._find_last_checkpoints(self.trainer)
            for callback in self.trainer.checkpoint_callbacks
            if isinstance(callback, ModelCheckpoint)
        ):
            raise RecipeError(
                f"there is no last checkpoint in {self.trainer.default_root_dir}: "
                "run `fit` with the same recipes first, or give --ckpt_path a file"
            )

    before_validate = before_test = before_predict = _check_last


def check_checkpoint(path: str | None) -> None:
    """Refuse a checkpoint file that is not there, before anything is built."""
    if path is None or path in _NAMED_CHECKPOINTS or re.match(r"\w{2,}:", path):
        return
    if not Path(path).exists():
        raise RecipeError(f"--ckpt_path: there is no file {path!r}; `last` is the newest of a run")


def unloadable(error: Exception) -> str | None:
    """Why a checkpoint could not be loaded; None where that is not what failed."""
    if isinstance(error, UnpicklingError):
        return (
            "the checkpoint holds Python objects, and only tensors and plain values are loaded; "
            "`--weights_only false` loads all of it, if you trust whoever wrote it"
        )
    first, *details = str(error).splitlines()
    if not first.startswith("Error(s) in loading state_dict"):
        return None
    return f"the checkpoint is not of this recipe's network: {details[0].strip()}"


def _refusal(error: BaseException) -> str | None:
    """What one of ours, or Lightning, said against an argument; None for anything else.

    jsonargparse wraps what a constructor raises, and its older versions drop the original.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, QSNNError | MisconfigurationException):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    told = re.search(r"^[ -]*(\w+=.+ is not allowed: give .+)$", str(error), re.MULTILINE)
    return told and told[1]
