"""The table that closes a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qsnn_plugins.cost import LayerMemory, membrane_memory, weight_memory
from qsnn_plugins.spec import QuantSpec

__all__ = ["NetworkReport"]


class _SpikeCount:
    """Spikes and neurons of one layer, counted as it runs."""

    def __init__(self) -> None:
        self.spikes, self.outputs, self.neurons = torch.tensor(0.0), 0, 0

    def hook(self, module: nn.Module, args: tuple[Any, ...], spikes: Tensor) -> None:
        """Count what one forward [T, N, ...] gave."""
        self.spikes = self.spikes.to(spikes.device) + spikes.detach().sum(dtype=torch.float64)
        self.outputs += spikes.numel()
        self.neurons = spikes[0, 0].numel()

    @property
    def rate(self) -> float:
        """Spikes a neuron and step."""
        return float(self.spikes) / max(self.outputs, 1)


class NetworkReport(Callback):
    """Prints test accuracy, firing rates and memory when a test ends.

    Firing rates are measured over the whole test set by hooks that are gone afterwards.

    Example:
        >>> from qsnn_plugins.lightning import NetworkReport
        >>> callback = NetworkReport()
    """

    def __init__(self) -> None:
        self._counts: dict[str, _SpikeCount] = {}
        self._handles: list[RemovableHandle] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._counts = {name: _SpikeCount() for name in _neurons(pl_module)}
        self._handles = [
            node.register_forward_hook(self._counts[name].hook)
            for name, node in _neurons(pl_module).items()
        ]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop to count, and print."""
        self._remove_hooks()
        if not trainer.is_global_zero:
            return
        console = Console()
        console.print(self._table(pl_module))
        accuracy = trainer.callback_metrics["test_accuracy"]
        console.print(f"test accuracy: {100 * float(accuracy):.1f} %", highlight=False)

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
        neurons = {name: count.neurons for name, count in self._counts.items()}
        membranes = membrane_memory(_neurons(pl_module), neurons)
        weights = weight_memory(pl_module)
        order = {name: i for i, (name, _) in enumerate(pl_module.named_modules())}
        table = Table(title="Memory for one sample, in kB (1000 bytes)")
        table.add_column("layer")
        for column in ("stored", "count", "bits", "in 32 bits", "as quantized", "firing rate"):
            table.add_column(column, justify="right")
        for row in sorted(membranes + weights, key=lambda row: order[row.name]):
            rate = f"{self._counts[row.name].rate:.1%}" if row.name in self._counts else ""
            name = row.name.removeprefix("network.").removeprefix("blocks.")
            table.add_row(name, row.kind, f"{row.count:,}", str(row.bits), *_kilobytes([row]), rate)
        table.add_section()
        for label, rows in (
            ("weights", weights),
            ("membranes", membranes),
            ("total", weights + membranes),
        ):
            table.add_row(label, "", f"{sum(r.count for r in rows):,}", "", *_kilobytes(rows), "")
        return table


def _neurons(module: nn.Module) -> dict[str, nn.Module]:
    return {
        name: node
        for name, node in module.named_modules()
        if isinstance(getattr(node, "quant_spec", None), QuantSpec)
    }


def _kilobytes(rows: list[LayerMemory]) -> tuple[str, str]:
    measures: tuple[Callable[[LayerMemory], int], ...] = (
        lambda row: row.float_bytes,
        lambda row: row.bytes,
    )
    in_32_bits, quantized = (sum(map(measure, rows)) / 1000 for measure in measures)
    return f"{in_32_bits:,.2f}", f"{quantized:,.2f}"
