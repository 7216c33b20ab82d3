"""The table that closes a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qsnn_plugins.cost import LayerMemory, membrane_memory, weight_memory
from qsnn_plugins.nn import quantized_neurons

__all__ = ["NetworkReport"]


class _SpikeCount:
    """Spikes and neurons of one layer, counted as it runs."""

    def __init__(self) -> None:
        self.spikes, self.outputs, self.neurons = torch.zeros((), dtype=torch.float64), 0, 0

    def hook(self, module: nn.Module, args: tuple[Any, ...], spikes: Tensor) -> None:
        """Count what one forward [T, N, ...] gave."""
        self.spikes = self.spikes.to(spikes.device) + spikes.detach().sum(dtype=torch.float64)
        self.outputs += spikes.numel()
        self.neurons = spikes[0, 0].numel()

    @property
    def rate(self) -> Tensor:
        """Spikes a neuron and step."""
        return self.spikes / max(self.outputs, 1)


def _accuracy(metrics: Mapping[str, Tensor]) -> str:
    return f"test accuracy: {100 * float(metrics['test_accuracy']):.1f} %"


class NetworkReport(Callback):
    """Prints firing rates, memory and a closing line when a test is over.

    Firing rates are measured over the whole test set by hooks that are gone afterwards.

    Args:
        closing: What the last line says of the trainer's metrics; by default the test accuracy.

    Example:
        >>> NetworkReport().rates  # filled by a test
        {}
    """

    def __init__(self, closing: Callable[[Mapping[str, Tensor]], str] = _accuracy) -> None:
        self.closing = closing
        self.rates: dict[str, float] = {}
        self._counts: dict[str, _SpikeCount] = {}
        self._handles: list[RemovableHandle] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        neurons = quantized_neurons(pl_module)
        self._counts = {name: _SpikeCount() for name in neurons}
        self._handles = [
            node.register_forward_hook(self._counts[name].hook) for name, node in neurons.items()
        ]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop to count; several devices have their mean."""
        self._remove_hooks()
        self.rates = {
            name: float(trainer.strategy.reduce(count.rate, reduce_op="mean"))
            for name, count in self._counts.items()
        }

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print, after all that Lightning prints itself."""
        if stage != "test" or not trainer.is_global_zero or not self.rates:
            return
        console = Console()
        console.print(self._table(pl_module))
        console.print(self.closing(trainer.callback_metrics), highlight=False)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave no hook behind."""
        self._remove_hooks()

    def _remove_hooks(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _table(self, pl_module: LightningModule) -> Table:
        weights = weight_memory(pl_module)
        neurons = {name: count.neurons for name, count in self._counts.items()}
        membranes = membrane_memory(quantized_neurons(pl_module), neurons)
        table = Table(title="Memory for one sample, in kB (1000 bytes)")
        table.add_column("layer", no_wrap=True)
        for column in ("count", "bits", "in 32 bits", "quantized", "firing rate"):
            table.add_column(column, justify="right")
        for title, rows in (("weights", weights), ("membranes", membranes)):
            table.add_row(f"[bold]{title}")
            for row in rows:
                name = row.name.removeprefix("network.").removeprefix("blocks.")
                rate = f"{self.rates[row.name]:.1%}" if row.name in self.rates else ""
                table.add_row(f" {name}", f"{row.count:,}", str(row.bits), *_kilobytes([row]), rate)
            table.add_section()
        for title, rows in (
            ("all weights", weights),
            ("all membranes", membranes),
            ("total", weights + membranes),
        ):
            table.add_row(title, f"{sum(row.count for row in rows):,}", "", *_kilobytes(rows))
        return table


def _kilobytes(rows: list[LayerMemory]) -> tuple[str, str]:
    in_32_bits = sum(row.float_bytes for row in rows)
    quantized = sum(row.bytes for row in rows)
    return f"{in_32_bits / 1000:,.2f}", f"{quantized / 1000:,.2f}"
