"""The time steps and the split of a training, which no tensor knows, as part of its state."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from lightning.pytorch import LightningModule

from qsnn_plugins.lightning.schedule import restore_place
from qsnn_plugins.nn import StateFacts
from qsnn_plugins.saving import describe

__all__ = ["TimedModule"]


class TimedModule(StateFacts, LightningModule):
    """LightningModule whose checkpoint contains the time steps and the split of its training.

    `time_steps` is its own T, `data_steps` the T of the data and `data_split` what decides their
    test split, which it gets from the trainer. What is not known is not saved and not compared.

    Example:
        >>> module = TimedModule()
        >>> module.data_steps = 4
        >>> module.state_facts()
        {'time_steps': 4}
    """

    network: Any
    time_steps: int | None = None
    data_steps: int | None = None
    data_split: Mapping[str, Any] = MappingProxyType({})
    _fills_in = False

    def setup(self, stage: str) -> None:
        """Ask the data for their time steps and their split."""
        data = getattr(self.trainer, "datamodule", None)
        self.data_steps = cast("int | None", getattr(data, "time_steps", None))
        self.data_split = getattr(data, "split_facts", dict)()

    def on_train_start(self) -> None:
        """Go on at the checkpoint's place within the epoch."""
        restore_place(self.trainer)

    def state_facts(self) -> dict[str, Any]:
        """Return T and the split, where they are known."""
        steps = self.time_steps or self.data_steps
        return {**({} if steps is None else {"time_steps": steps}), **self.data_split}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say how the network is built, so that `qsnn_plugins.load` needs no recipe."""
        checkpoint["network"] = describe(self.network)
