"""LightningCLI with defaults that keep recipes short."""

# ruff: noqa: E402
from __future__ import annotations

import os
import sys
import warnings
from argparse import ArgumentError as ArgparseError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from traceback import walk_tb
from typing import Any, Self

import torch
import yaml

from qsnn_plugins.torchvision_ops import register_missing_ops

register_missing_ops()  # Lightning imports torchvision, which may need it

from jsonargparse import Namespace
from lightning import LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from qsnn_plugins.cli.checkpoints import (
    check_file,
    check_optimizers,
    check_saved_by_fit,
    loading,
    read_checkpoint,
    take_changes,
    unloadable,
)
from qsnn_plugins.cli.complaints import explain
from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.doors import check_classes
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.cli.inputs import check_checkpoint, names_local_file
from qsnn_plugins.cli.resolution import resolve
from qsnn_plugins.errors import ArgumentError, QSNNError, QSNNWarning

_LOGGER = "lightning.pytorch.loggers.CSVLogger"
_REFUSED = " is not allowed: give "
# what a subcommand does with the data, and what limits it
_EVALUATED = {
    "validate": ("validated", "limit_val_batches"),
    "test": ("tested", "limit_test_batches"),
    "predict": ("predicted", "limit_predict_batches"),
}


class RecipeCLI(LightningCLI):
    """LightningCLI for recipes: a folder for each recipe, and one-sentence errors.

    A run of `-c spquant_vgg9.yaml -c overlays/embedded.yaml` lives in
    `runs/spquant_vgg9+embedded/`: `checkpoints/`, and a `fit/version_N/` or `test/version_N/` with
    `metrics.csv` and the whole configuration. A recipe that sets `trainer.default_root_dir`,
    `trainer.logger` or a checkpoint callback is left as it is.
    """

    recipes: Composition
    input_shape: Sequence[int] | None
    changes: str  # whether a checkpoint may be quantized otherwise, "refuse" or "allow"

    @classmethod
    def run(
        cls,
        recipes: Composition,
        subcommand: str | None = None,
        input_shape: Sequence[int] | None = None,
    ) -> Self:
        """Do what a command line says.

        Args:
            recipes: Its recipes and options.
            subcommand: "fit", "validate", "test" or "predict"; None builds and runs nothing.
            input_shape: Shape [T, N, C, H, W] of the network's input where it is not the data's.

        Raises:
            RecipeError: What was asked for cannot be built.
            QSNNError: Any other error of this package, while it ran.
        """
        cls.recipes, cls.input_shape = recipes, input_shape
        cls.changes = take_changes(recipes.config)
        if os.getcwd() not in sys.path:
            # recipes may name the user's own classes; what is installed is still found first
            sys.path.append(os.getcwd())
        quiet = {"exit_on_error": False}
        try:
            with refusals_placed(recipes):
                resolve(recipes, input_shape)
            # a run's saved configuration has null for options that only its subcommand knows
            known = ("ckpt_path", "weights_only", "verbose", "return_predictions")
            config = {
                key: value
                for key, value in recipes.config.items()
                if value is not None or (subcommand and key in known)
            }
            composed = f"--config={yaml.safe_dump(config, sort_keys=False)}"
            with loading(cls.changes):
                return cls(
                    LightningModule,
                    LightningDataModule,
                    save_config_kwargs={"overwrite": True},
                    seed_everything_default=42,
                    subclass_mode_model=True,
                    subclass_mode_data=True,
                    auto_configure_optimizers=False,
                    parser_kwargs=quiet | {word: dict(quiet) for word in cls.subcommands()},
                    args=[*([subcommand] if subcommand else []), composed, *recipes.rest],
                    run=subcommand is not None,
                )
        except ArgparseError as error:
            raise RecipeError(explain(error.message, recipes)) from None
        except MisconfigurationException as error:  # what shows only while it runs
            raise RecipeError(str(error)) from None
        except ValueError as error:
            if not _is_of_lightning(error):
                raise
            raise RecipeError(str(error)) from None
        except (RuntimeError, AttributeError, UnpicklingError) as error:
            if reason := unloadable(error) or _of_a_callback(error):
                raise RecipeError(reason) from None
            raise

    def parse_arguments(self, parser: Any, args: Any) -> None:
        """Parse the composed configuration, without Lightning's advice against it."""
        self.config = parser.parse_args(args)
        subcommand = self.config.get("subcommand")
        check_classes(self.config[subcommand] if subcommand else self.config, self.recipes)

    def _parse_ckpt_path(self) -> None:
        """Take weights, and nothing else, from a checkpoint.

        Lightning lays the checkpoint's hyper-parameters over the configuration; here the recipe
        alone says what the network is, and a checkpoint that does not fit it is an error.
        """

    def _set_seed(self) -> None:
        """Seed everything, and say so where something is trained or tested.

        Raises:
            RecipeError: If a generator does not take the seed.
        """
        seed = self._get(self.config, "seed_everything")
        if not isinstance(seed, bool) and not 0 <= seed < 2**32:
            refusal = ArgumentError("seed_everything", seed, f"an integer from 0 to {2**32 - 1}")
            raise RecipeError(f"{self.recipes.place(('seed_everything',))}: {refusal}")
        if seed is not False:
            config = self.config[self.subcommand] if self.subcommand else self.config
            config["seed_everything"] = seed_everything(
                None if seed is True else seed, workers=True, verbose=self.subcommand is not None
            )

    def before_instantiate_classes(self) -> None:
        """Fill in the run's folder and its logger; allow checkpoints to hold plain values only."""
        settings = self.config[self.subcommand]
        check_checkpoint(settings.get("ckpt_path"))
        if settings.get("weights_only") is not False:
            # The one switch that every version of Lightning heeds, and its worker processes too.
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
        trainer = settings.trainer
        self._check_counts(trainer)
        if trainer.default_root_dir is None:
            trainer.default_root_dir = str(Path("runs", self.recipes.name or "unnamed"))
        if trainer.logger is None:
            where = Namespace(save_dir=str(trainer.default_root_dir), name=self.subcommand)
            trainer.logger = Namespace(class_path=_LOGGER, init_args=where)

    def _check_counts(self, trainer: Namespace) -> None:
        """Refuse counts by which Lightning divides.

        Raises:
            RecipeError: One is below 1.
        """
        for name in ("accumulate_grad_batches", "check_val_every_n_epoch"):
            if (count := trainer.get(name)) is not None and count < 1:
                refusal = ArgumentError(name, count, "an integer from 1")
                raise RecipeError(f"{self.recipes.place(('trainer', name))}: {refusal}")

    def instantiate_classes(self) -> None:
        """Build the data, the model and the trainer.

        Raises:
            RecipeError: One of them refused its arguments.
        """
        with refusals_placed(self.recipes):
            super().instantiate_classes()

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
            callbacks = [*callbacks, RunCheckpoint(folder)]
        kwargs["callbacks"] = [*callbacks, _SameOptimizer(), _KnownMonitors(), _SaysWhatIsSaved()]
        # a debugging aid that `deterministic` switches on: no kernel here reads what nothing wrote
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            return super().instantiate_trainer(**kwargs)
        except (ValueError, TypeError, RuntimeError) as error:
            # Lightning's own, about its arguments: nothing of ours or of the user's is built here
            raise RecipeError(f"trainer: {error}") from None

    def before_fit(self) -> None:
        """Claim the run's folder before a logger writes to it."""
        from qsnn_plugins.lightning import RunCheckpoint

        for callback in self.trainer.checkpoint_callbacks:
            if isinstance(callback, RunCheckpoint):
                callback.claim(self.trainer)
                if self._get(self.config, "ckpt_path") == "last":
                    callback.check_last()
        self._check_folders()
        self._say_if_zero("trained", "max_epochs", "max_steps", "limit_train_batches")

    def _say_if_zero(self, done: str, *limits: str) -> None:
        """Warn where a limit of the trainer leaves nothing to do."""
        if at_zero := [f"trainer.{name}" for name in limits if getattr(self.trainer, name) == 0]:
            words = f"nothing is {done}: {', '.join(at_zero)} is 0"
            warnings.warn(words, QSNNWarning, stacklevel=3)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Look at the checkpoint before Lightning does.

        Where it may be quantized otherwise, `fit` begins a new training from its weights.

        Raises:
            RecipeError: See `read_checkpoint` and `check_saved_by_fit`.
        """
        given = super()._prepare_subcommand_kwargs(subcommand)
        file = self._checkpoint_file(given.get("ckpt_path"))
        if file is None:
            return given
        is_new = subcommand == "fit" and self.changes == "allow"
        trusted = given.get("weights_only") is False
        if trusted and not is_new:
            check_file(file)  # what Lightning is told to unpickle is not unpickled twice
            return given
        content = read_checkpoint(file, trusted)
        if is_new:
            self.model.load_state_dict(content["state_dict"])
            given["ckpt_path"] = None
        else:
            check_saved_by_fit(file, content, subcommand, self.trainer)
        return given

    def _checkpoint_file(self, path: str | None) -> Path | None:
        """The file on this machine that Lightning is going to load."""
        if path == "last":
            found = [
                Path(each)
                for callback in self.trainer.checkpoint_callbacks
                if isinstance(callback, ModelCheckpoint)
                for each in callback._find_last_checkpoints(self.trainer)
                if Path(each).exists()
            ]
            return max(found, key=lambda each: each.stat().st_mtime, default=None)
        # some strategies save folders, and read them too
        is_file = path is not None and names_local_file(path) and not _is_sharded(Path(path))
        return Path(str(path)) if is_file else None

    def _check_last(self) -> None:
        """Refuse a folder that cannot be written, and to evaluate untrained weights as `last`."""
        self._check_folders()
        self._say_if_zero(*_EVALUATED[str(self.subcommand)])
        given = self._get(self.config, "ckpt_path")
        if given is None:
            print("no --ckpt_path: the weights are those of before a training", file=sys.stderr)
        if given == "last" and self._checkpoint_file(given) is None:
            raise no_last_checkpoint(self.trainer.default_root_dir)

    before_validate = before_test = before_predict = _check_last

    def _check_folders(self) -> None:
        """Refuse folders of the run and of its loggers that cannot be made.

        Raises:
            RecipeError: One cannot be.
        """
        trainer = self.trainer
        of_loggers = [("the logger's save_dir", logger.save_dir) for logger in trainer.loggers]
        for name, folder in [("trainer.default_root_dir", trainer.default_root_dir), *of_loggers]:
            if folder is None or not names_local_file(str(folder)):
                continue
            try:
                Path(folder).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                reason = f"{folder} cannot be written ({error.strerror})"
                raise RecipeError(f"{reason}: give another as {name}") from None


def no_last_checkpoint(folder: str | Path) -> RecipeError:
    """The error where `last` names nothing."""
    return RecipeError(
        f"there is no last checkpoint in {folder}: run `fit` with the same recipes first, or "
        "give a file with --ckpt_path"
    )


class _SameOptimizer(Callback):
    """Refuses to continue with another optimizer, which torch notices late or never."""

    def __init__(self) -> None:
        self._checkpoint: dict[str, Any] | None = None

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the checkpoint until the optimizer is there."""
        self._checkpoint = checkpoint

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare."""
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is not None and trainer.optimizers:
            check_optimizers(checkpoint, trainer)


class _SaysWhatIsSaved(Callback):
    """Tells an interrupt whether there is a checkpoint to go on from."""

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Note it on what is raised."""
        own = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
        saved = any(c.best_model_path or c.last_model_path for c in own)
        exception.saved = saved  # type: ignore[attr-defined]


class _KnownMonitors(Callback):
    """Refuses checkpoint callbacks whose monitored metric is never logged.

    Where there is a validation, Lightning says so after the first; elsewhere it warns in the log.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at what the first epoch has logged."""
        if trainer.current_epoch == 1 and not trainer.enable_validation:
            self._check(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at what all have logged."""
        self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        for callback in trainer.checkpoint_callbacks:
            if not isinstance(callback, ModelCheckpoint) or callback.monitor is None:
                continue
            logged = callback._monitor_candidates(trainer)
            if callback.monitor not in logged and not callback.best_model_path:
                raise RecipeError(
                    f"{type(callback).__name__}: monitor={callback.monitor!r} is never logged, so "
                    f"no checkpoint is saved; logged are {', '.join(sorted(logged))}"
                )


def _is_sharded(path: Path) -> bool:
    return any((path / name).exists() for name in ("meta.pt", ".metadata", "checkpoint"))


def _is_of_lightning(error: Exception) -> bool:
    """Whether Lightning alone is to blame: then it is about an option of the trainer.

    What a model or a callback asked of it wrongly, as of `self.log`, keeps its traceback.
    """
    names = [str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__)]
    ours = max((place for place, name in enumerate(names) if name == __name__), default=-1)
    return all(name.startswith("lightning.pytorch.") for name in names[ours + 1 :])


def _of_a_callback(error: Exception) -> str | None:
    """What Lightning's callbacks say of a metric that is never logged, or of a missing rate."""
    message = str(error)
    begins = ("Early stopping conditioned on metric", "When using the learning rate finder")
    return message if message.startswith(begins) else None


@contextmanager
def refusals_placed(recipes: Composition) -> Iterator[None]:
    """Say where in the recipes an argument stands that a constructor refuses.

    Raises:
        RecipeError: If it was refused by this package or by Lightning.
    """
    try:
        yield
    except (QSNNError, MisconfigurationException, ImportError, TypeError, ValueError) as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        place = None
        if isinstance(refusal, ArgumentError):
            place = recipes.find(refusal.argument, refusal.value)
        raise RecipeError(f"{place}: {refusal}" if place else str(refusal)) from None


def _refusal(error: BaseException) -> Exception | None:
    """The error of this package, of Lightning or of a missing one that jsonargparse wrapped."""
    cause: BaseException | None = error
    while cause is not None:
        # a module that is not found is a logger's package, say
        if isinstance(cause, QSNNError | MisconfigurationException | ModuleNotFoundError):
            return cause
        cause = cause.__cause__ or cause.__context__
    # older versions of jsonargparse keep the words alone
    words = [line.strip(" -") for line in str(error).splitlines() if _REFUSED in line]
    return QSNNError(words[0]) if words else None
