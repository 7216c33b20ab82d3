"""Base of the data modules of event recordings on disk."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Unpack

from qsnn_plugins.data.base import LoadingOptions
from qsnn_plugins.data.download import Archive
from qsnn_plugins.data.frame_augmentation import NeuromorphicAugmentation, frame_augmentation
from qsnn_plugins.data.frame_cache import CachedFrames, EventReader, Recording, cached_frames
from qsnn_plugins.data.frames import FrameBinning
from qsnn_plugins.data.frames_module import FramesDataModule
from qsnn_plugins.errors import DataError, QSNNWarning
from qsnn_plugins.files import checked_path
from qsnn_plugins.spec.checks import boolean

_LAST_NUMBER = re.compile(r"\d+(?=\D*$)")

Splits = tuple[list[Recording], list[Recording]]


@dataclass(frozen=True)
class EventDataset:
    """Facts about a data set of recordings.

    Args:
        reader: How a recording is read.
        classes: Names of the classes' folders, in the order of the labels.
        layout: Layout of the files under the root, for messages.
        homepage: Where to get the data.
        archives: Archives to download; empty if there is no public address.
        nda: Settings of the augmentation "nda".
    """

    reader: EventReader
    classes: tuple[str, ...]
    layout: str
    homepage: str
    archives: tuple[Archive, ...] = ()
    nda: NeuromorphicAugmentation = field(default_factory=NeuromorphicAugmentation)


class RecordingsDataModule(FramesDataModule):
    """Frames of the recordings under a folder, cached on disk.

    Subclasses pass an `EventDataset` and return their recordings in `find()`.

    Args:
        dataset: Facts about the data set.
        binning: How events become frames, with the next four arguments.
        time_steps: T, frames per recording.
        size: (H, W) of a frame in pixels, or one side of a square.
        bin_by: "time" for bins of equal duration, "count" for bins of equally many events.
        binary: True sets pixels with events to 1; False counts the events, up to 255.
        cache_dir: Folder of the cached frames; None is `<root>/.qsnn_cache`. Its files can be
            deleted at any time; each combination of settings has its own file.
        allow_broken: False raises an error at the first broken recording; True leaves broken ones
            out and counts them in one warning per split.
        augment: Augmentation of the training split: "none", "nda" (neuromorphic data augmentation,
            as in Q-SNN) or "spikformer" (as in Spikformer's code).
        **options: `root`, `batch_size`, `num_workers`, `seed` and `download` of `BaseDataModule`.

    Raises:
        ArgumentError: A setting is out of its range.
        DataError: Recordings are missing or broken (when the data are first used).
    """

    def __init__(
        self,
        dataset: EventDataset,
        *,
        binning: FrameBinning,
        cache_dir: str | Path | None,
        allow_broken: bool,
        augment: str,
        **options: Unpack[LoadingOptions],
    ) -> None:
        self.allow_broken = boolean("allow_broken", allow_broken)
        _, channels, height, width = binning.shape(dataset.reader.sensor)
        super().__init__(
            num_classes=len(dataset.classes),
            class_names=dataset.classes,
            frame_shape=(channels, height, width),
            time_steps=binning.time_steps,
            augmentation=frame_augmentation(augment, dataset.nda),
            archives=dataset.archives,
            homepage=dataset.homepage,
            **options,
        )
        self.dataset, self.binning = dataset, binning
        cache = checked_path("cache_dir", cache_dir or self.root / ".qsnn_cache")
        self.cache_dir = cache.expanduser().absolute()

    def find(self) -> Splits:
        """Return the training and the test recordings under `root`; either may be empty.

        Subclasses override it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say where its splits come from")

    def prepare_data(self) -> None:
        """Fill the cache; of several processes on a machine, Lightning asks one to do so."""
        super().prepare_data()
        self._load()

    def splits(self) -> tuple[CachedFrames, CachedFrames]:
        """Return the training and the test split, mapped from the cache."""
        train, test = self._load()
        for name, split in (("training", train), ("test", test)):
            if count := len(split.broken):
                warnings.warn(
                    f"{self.dataset.reader.name}: {count} of {count + len(split)} {name} "
                    f"recordings under {self.root} are broken and were left out",
                    QSNNWarning,
                    stacklevel=2,
                )
        return train, test

    def _load(self) -> tuple[CachedFrames, CachedFrames]:
        train, test = self.find()
        for name, recordings in (("training", train), ("test", test)):
            if not recordings:
                fetch = f", {self._download_advice()}" * bool(self.dataset.archives)
                raise DataError(
                    f"there are no {name} recordings of {self.dataset.reader.name} in {self.root} "
                    f"({self.dataset.layout}): get them from {self.dataset.homepage}{fetch}, give "
                    "another folder with root, or run on embedded data with "
                    "-c recipes/overlays/embedded.yaml"
                )
            advice = f"; {self._download_advice()}" * self.download
            self._require_classes({each.label for each in recordings}, f"{name} recording", advice)
        frames = self._frames(train, "train"), self._frames(test, "test")
        # a class whose recordings are all broken is as absent as one without any
        for name, split in zip(("training", "test"), frames, strict=True):
            self._require_classes({*split.labels.tolist()}, f"{name} recording that can be read")
        return frames

    def _require_classes(self, present: set[int], what: str, advice: str = "") -> None:
        absent = [c for label, c in enumerate(self.dataset.classes) if label not in present]
        if absent:
            more = ", ..." * (len(absent) > 5)
            raise DataError(
                f"{len(absent)} of {len(self.dataset.classes)} classes of "
                f"{self.dataset.reader.name} have no {what} in {self.root} "
                f"({self.dataset.layout}): {', '.join(absent[:5])}{more}{advice}"
            )

    def _frames(self, recordings: list[Recording], split: str) -> CachedFrames:
        return cached_frames(
            recordings,
            self.dataset.reader,
            self.binning,
            self.cache_dir,
            split=split,
            allow_broken=self.allow_broken,
        )


def list_recordings(
    folder: Path, classes: Sequence[str], suffixes: Sequence[str]
) -> list[list[Recording]]:
    """Return the recordings of each class in `folder/<class>/`, in the order of their numbers.

    Args:
        folder: The folder of the classes' folders; absent ones are empty.
        classes: Names of the classes' folders, in the order of the labels.
        suffixes: Endings of the files; of several, the first that a class has is taken.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("cat/cat_10.bin", "cat/cat_9.bin", "dog/dog_1.bin", "dog/notes.txt"):
        ...     (folder / name).parent.mkdir(exist_ok=True)
        ...     (folder / name).touch()
        >>> cats, dogs = list_recordings(folder, ("cat", "dog"), (".bin",))
        >>> [recording.path.name for recording in cats], dogs[0].label
        (['cat_9.bin', 'cat_10.bin'], 1)
    """
    found = []
    for label, name in enumerate(classes):
        here = folder / name
        # Archives made on a Mac carry a hidden "._<name>" beside each file.
        files = [path for path in here.glob("*") if not path.name.startswith(".")]
        by_suffix = [[path for path in files if path.suffix == suffix] for suffix in suffixes]
        paths = next(filter(None, by_suffix), [])
        left_out = {path.stem for each in by_suffix for path in each}
        left_out.difference_update(path.stem for path in paths)
        if left_out:
            raise DataError(
                f"{here} has {len(paths)} recordings *{paths[0].suffix}, and {len(left_out)} "
                f"others in another format, such as {min(left_out)}: convert all of them, or none"
            )
        found.append([Recording(path, label) for path in sorted(paths, key=_number)])
    return found


def shipped_split(
    root: Path, folders: tuple[str, str], classes: Sequence[str], suffix: str
) -> Splits:
    """Return the recordings of a data set that has a folder to train and one to test."""
    train, test = (
        list(chain.from_iterable(list_recordings(root / folder, classes, (suffix,))))
        for folder in folders
    )
    return train, test


def _number(path: Path) -> tuple[int, str]:
    number = _LAST_NUMBER.search(path.stem)
    return (int(number.group()) if number else -1), path.name
