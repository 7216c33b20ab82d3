"""A recipe's model and data without a trainer, and its trained weights, for the tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace as Settings
from torch import Tensor

from qsnn_plugins.cli.checkpoints import loading, read_checkpoint, unloadable
from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.cli.inputs import check_checkpoint
from qsnn_plugins.cli.recipe_cli import RecipeCLI, no_last_checkpoint
from qsnn_plugins.cli.samples import spaced_batches
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.lightning import TimedModule
from qsnn_plugins.progress import tracked

_NO_DATA = "lightning.LightningDataModule"


class BuiltRecipe(RecipeCLI):
    """A recipe's model, its data where they are needed, and no trainer."""

    @classmethod
    def build(
        cls,
        recipes: Composition,
        checkpoint: str | None = None,
        input_shape: Sequence[int] | None = None,
    ) -> Any:
        """Build what a command line names.

        Args:
            recipes: Its recipes and options.
            checkpoint: File with trained weights; `last` is the newest of the recipe's runs.
            input_shape: Shape [T, N, C, H, W] of the network's input; the data are not built then.

        Raises:
            RecipeError: What was asked for cannot be built, has no network, or is not a checkpoint
                of it.
        """
        check_checkpoint(checkpoint)
        built = cls.run(recipes, input_shape=input_shape)
        if not isinstance(getattr(built.model, "network", None), torch.nn.Module):
            raise RecipeError(f"{type(built.model).__name__} has no attribute `network`")
        if checkpoint:
            built._load(Path(checkpoint) if checkpoint != "last" else built._last_checkpoint())
        return built

    def before_instantiate_classes(self) -> None:
        """Leave the run's folder alone, since nothing runs, and files that nobody reads."""
        if self.input_shape is not None:
            self.config.data = Settings(class_path=_NO_DATA, init_args=Settings())

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Build none."""

    def sample_shape(self) -> tuple[int, ...]:
        """Return the shape [T, 1, C, H, W] of one sample of the data.

        Raises:
            RecipeError: If the data do not say it.
        """
        data = self.datamodule
        steps = getattr(self.model, "time_steps", None) or getattr(data, "time_steps", None)
        frame = getattr(data, "frame_shape", None)
        if steps is None or frame is None:
            raise RecipeError(
                f"{type(data).__name__} does not define the shape of its samples (time_steps and "
                "frame_shape): give --input_shape T,1,..."
            )
        return (steps, 1, *frame)

    def test_frames(self, batches: int) -> Iterator[Tensor]:
        """Yield batches of evenly spaced test samples, without their labels.

        Raises:
            ArgumentError: If `batches` is below 1.
            DataError: The data are missing or broken.
        """
        if batches < 1:
            raise ArgumentError("batches", batches, "an integer from 1")
        self.datamodule.prepare_data()
        self.datamodule.setup("test")
        loader = self.datamodule.test_dataloader()
        total = min(batches, len(loader))
        for frames, *_ in tracked(spaced_batches(loader, batches), "running on test data", total):
            yield frames

    def validation_item(self, number: int) -> Any:
        """Return one item of the validation split.

        Raises:
            ArgumentError: If there is no such item.
            DataError: The data are missing or broken.
        """
        self.datamodule.prepare_data()
        self.datamodule.setup("validate")
        items = self.datamodule.val_dataloader().dataset
        if not 0 <= number < len(items):
            raise ArgumentError("scene", number, f"an integer from 0 to {len(items) - 1}")
        return items[number]

    def _load(self, file: Path) -> None:
        state = read_checkpoint(file)["state_dict"]
        if isinstance(self.model, TimedModule):
            self.model.data_steps = getattr(self.datamodule, "time_steps", None)
        try:
            with loading(self.changes):
                self.model.load_state_dict(state)
        except RuntimeError as error:
            raise RecipeError(unloadable(error) or f"{file} does not fit this network") from None

    def _last_checkpoint(self) -> Path:
        from qsnn_plugins.lightning import newest_checkpoint

        root = self.config.trainer.default_root_dir or Path("runs", self.recipes.name)
        if newest := newest_checkpoint(Path(root, "checkpoints")):
            return newest
        raise no_last_checkpoint(root)
