"""The speed and memory of a training on this machine."""

from __future__ import annotations

import resource
import sys
from time import perf_counter
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from qsnn_plugins.errors import ArgumentError

__all__ = ["Throughput"]

_SECONDS = 3600


class Throughput(Callback):
    """Prints samples per second, peak memory and hours per epoch at the end of a training.

    The first batches are not counted, because they build kernels and allocate memory. Peak memory
    is that of torch's allocator on a GPU, and the peak resident set size of the process on the CPU.

    Args:
        skip: Batches at the start that are not counted, from 0.

    Raises:
        ArgumentError: If `skip` is below 0.

    Example:
        >>> Throughput(skip=1).samples  # counted by a training
        0
    """

    def __init__(self, skip: int = 2) -> None:
        if skip < 0:
            raise ArgumentError("skip", skip, "a number of batches from 0")
        self.skip, self.samples, self.seconds = skip, 0, 0.0
        self._begin = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget earlier peaks."""
        self.samples, self.seconds = 0, 0.0
        self._begin = perf_counter()  # an epoch that goes on in its middle has no start
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a batch, from the end of the one before it: loading is part of it."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        now = perf_counter()
        if batch_idx >= self.skip or trainer.current_epoch > 0:
            self.samples += len(batch[-1]) * trainer.world_size
            self.seconds += now - self._begin
        self._begin = now

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave validation out."""
        self._begin = perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the three figures."""
        if not trainer.is_global_zero:
            return
        if not self.samples:
            print(f"throughput: not measured, since the first {self.skip} batches are not counted")
            return
        rate = self.samples / self.seconds
        loader: Any = trainer.train_dataloader
        hours = len(loader.dataset) / rate / _SECONDS
        print(f"throughput: {rate:,.1f} samples/s over {self.samples:,} samples")
        print(f"peak memory: {peak_memory(pl_module.device) / 1e9:,.2f} GB")
        print(f"an epoch of {len(loader.dataset):,} samples would take {hours:,.2f} hours")


def peak_memory(device: torch.device) -> int:
    """Return the greatest memory that was taken, in bytes.

    Args:
        device: A GPU, for what torch allocated there; else it is the process's resident set.

    Example:
        >>> peak_memory(torch.device("cpu")) > 1e6
        True
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # in bytes on macOS, in kilobytes elsewhere
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
