"""The table that closes a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from torch import Tensor, nn

from qsnn_plugins.cost import ActivityRecorder, cost_table, report

__all__ = ["NetworkReport"]


def _quality(metrics: Mapping[str, Tensor]) -> str:
    if "test_map" in metrics:
        precision, at_half = float(metrics["test_map"]), float(metrics["test_ap50"])
        return f"test mAP (0.5:0.95): {precision:.3f}, AP50: {at_half:.3f}"
    return f"test accuracy: {100 * float(metrics['test_accuracy']):.1f} %"


class NetworkReport(Callback):
    """Prints the costs of the network and its accuracy after a test.

    Firing rates are measured over the whole test set with hooks, which are removed afterwards. The
    network is the `network` of the module.

    Args:
        closing: Makes the last line from the metrics of the trainer; by default the test accuracy,
            or a detector's mean average precision.

    Example:
        >>> NetworkReport().rates  # filled by a test
        {}
    """

    def __init__(self, closing: Callable[[Mapping[str, Tensor]], str] = _quality) -> None:
        self.closing = closing
        self.rates: dict[str, float] = {}
        self._recorder: ActivityRecorder | None = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._recorder = ActivityRecorder(_network(pl_module))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop to count; several devices are added up."""
        if self._recorder is None:
            return
        self._recorder.remove()

        def add_up(count: Tensor) -> Tensor:
            total: Any = trainer.strategy.reduce(count, reduce_op="sum")
            return torch.as_tensor(total)

        self._recorder.merge(add_up)
        self.rates = dict(self._recorder.activity("measured").rates)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print, after all that Lightning prints itself."""
        recorder = self._recorder
        if stage != "test" or not trainer.is_global_zero or not self.rates or recorder is None:
            return
        assert recorder.input_shape is not None
        activity = recorder.activity("measured over the test set")
        cost = report(_network(pl_module), None, recorder.input_shape, activity=activity)
        console = Console()
        console.print(cost_table(cost))
        console.print(self.closing(trainer.callback_metrics), highlight=False)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave no hook behind."""
        if self._recorder is not None:
            self._recorder.remove()


def _network(pl_module: LightningModule) -> nn.Module:
    network = getattr(pl_module, "network", pl_module)
    assert isinstance(network, nn.Module)
    return network
