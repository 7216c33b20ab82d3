"""The number of time steps, which no tensor of a network knows, as part of its state."""

from __future__ import annotations

from typing import Any, cast

from lightning.pytorch import LightningModule

from qsnn_plugins.nn import StateFacts
from qsnn_plugins.saving import describe

__all__ = ["TimedModule"]


class TimedModule(StateFacts, LightningModule):
    """LightningModule whose checkpoint contains the number of time steps of its training.

    `time_steps` is its own T, `data_steps` the T of the data, which it gets from the trainer. If
    neither is known, T is not saved and not compared.

    Example:
        >>> module = TimedModule()
        >>> module.data_steps = 4
        >>> module.state_facts()
        {'time_steps': 4}
    """

    network: Any
    time_steps: int | None = None
    data_steps: int | None = None
    _fills_in = False

    def setup(self, stage: str) -> None:
        """Ask the data for their time steps."""
        data = getattr(self.trainer, "datamodule", None)
        self.data_steps = cast("int | None", getattr(data, "time_steps", None))

    def state_facts(self) -> dict[str, Any]:
        """Return T, where it is known."""
        steps = self.time_steps or self.data_steps
        return {} if steps is None else {"time_steps": steps}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say how the network is built, so that `qsnn_plugins.load` needs no recipe."""
        checkpoint["network"] = describe(self.network)
