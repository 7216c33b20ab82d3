"""Base of all data modules: folder, splits, loaders and training order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from qsnn_plugins.data.checks import at_least
from qsnn_plugins.data.download import Archive, fetch, is_empty
from qsnn_plugins.data.order import EpochOrder, EpochShuffle, TrainingLoader
from qsnn_plugins.data.workers import WorkerLoader
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.files import checked_path
from qsnn_plugins.spec.checks import boolean


class LoadingOptions(TypedDict, total=False):
    """The arguments of `BaseDataModule` that every data set on disk takes."""

    root: str | Path
    batch_size: int
    num_workers: int
    seed: int
    download: bool


class DataOptions(LoadingOptions, total=False):
    """All arguments of `BaseDataModule`, for the modules that hand them on."""

    num_classes: int
    frame_shape: tuple[int, int, int]
    time_steps: int | None
    class_names: tuple[str, ...]
    archives: tuple[Archive, ...]
    homepage: str


class BaseDataModule(LightningDataModule):
    """The splits "train", "val" and "test" of a data set, with their loaders.

    Subclasses return their splits in `split()`. The facts that a network needs (`num_classes`,
    `frame_shape` and `time_steps`) are known before any file is read.

    Args:
        num_classes: Number of classes; labels are 0 to `num_classes - 1`.
        frame_shape: (C, H, W) of one frame, or of an image.
        time_steps: T, the number of frames of an item; None for still images.
        class_names: Names of the classes in the order of the labels, if they have names.
        batch_size: Items per batch.
        num_workers: Number of processes that load batches; 0 loads them in the training process.
        seed: Seed of the training order and of the augmentation, which depend only on this seed and
            the epoch.
        root: Folder of the data set, if it has one.
        download: Whether to download the data set if `root` is empty or does not exist.
        archives: Archives to download; empty if there is no public address.
        homepage: Where to get the data by hand.

    Raises:
        ArgumentError: A count is too small, or the data set cannot be downloaded.
    """

    collate: Callable[[Sequence[Any]], Any] | None = None
    """Makes a batch of items; None stacks them."""

    def __init__(
        self,
        *,
        num_classes: int,
        frame_shape: tuple[int, int, int],
        time_steps: int | None = None,
        class_names: tuple[str, ...] = (),
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        root: str | Path = ".",
        download: bool = False,
        archives: tuple[Archive, ...] = (),
        homepage: str = "",
    ) -> None:
        super().__init__()
        if boolean("download", download) and not archives:
            raise ArgumentError("download", download, f"false: get it from {homepage}")
        self.num_classes, self.class_names = num_classes, class_names
        self.frame_shape = frame_shape
        self.time_steps = (
            time_steps if time_steps is None else at_least("time_steps", time_steps, 1)
        )
        self.batch_size = at_least("batch_size", batch_size, 1)
        self.num_workers = at_least("num_workers", num_workers, 0)
        self.seed = at_least("seed", seed, 0)
        self.root = checked_path("root", root).expanduser().absolute()
        self.download, self.archives = download, archives
        self._splits: dict[str, Any] = {}

    def split(self, name: str) -> Dataset[Any]:
        """Return the split "train", "val" or "test": each data set has its own."""
        raise NotImplementedError(f"{type(self).__name__} does not say where its splits come from")

    def split_facts(self) -> dict[str, Any]:
        """Return the options that decide what is tested, as plain values for a checkpoint.

        A network that was trained under another split may have seen what is tested here.
        """
        return {}

    def order(self, split: Any, replicas: int, rank: int) -> EpochOrder:
        """Return the order of training, for one of several processes."""
        return EpochShuffle(split, self.seed, replicas, rank)

    def prepare_data(self) -> None:
        """Download the data set if `download` is set and its folder is empty or not there."""
        if self.download:
            fetch(self.archives, self.root)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return batches of the training split in a new order each epoch."""
        replicas, rank = 1, 0
        if self.trainer is not None:
            replicas, rank = self.trainer.world_size, self.trainer.global_rank
        return self._loader("train", self.order(self._opened("train"), replicas, rank))

    def val_dataloader(self) -> DataLoader[Any]:
        """Return batches of the validation split, in its own order."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """Return batches of the test split, in its own order."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return the test split."""
        return self.test_dataloader()

    def _download_advice(self) -> str:
        """Say what `download` can do about missing data, or why it has done nothing."""
        if not self.download:
            return "download with download=true"
        if self.root.exists() and not is_empty(self.root):
            return f"remove {self.root} (it is not empty, so nothing was downloaded)"
        return "call prepare_data() first, which downloads"

    def _opened(self, name: str) -> Any:
        if name not in self._splits:
            self._splits[name] = self.split(name)
        return self._splits[name]

    def _loader(self, name: str, sampler: EpochOrder | None = None) -> DataLoader[Any]:
        kind = WorkerLoader if sampler is None else TrainingLoader
        return kind(
            self._opened(name),
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=self.collate,
        )
