"""Cache of frames on disk: each recording is parsed once, and then memory-mapped.

There is one file per split: frames uint8 [N, ...] (packed bits of binary frames), then the labels
int64 [N], -1 for a broken recording, and at the end a CRC-32 of the file name and of everything
before. Readers never see an incomplete file, and two writers at the same time leave one complete
file. The file name contains a digest of everything that the frames depend on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from qsnn_plugins.data.frames import FrameBinning
from qsnn_plugins.data.transformed import Item
from qsnn_plugins.errors import DataError
from qsnn_plugins.files import atomic_write, remove_leftovers
from qsnn_plugins.progress import tracked

_log = logging.getLogger(__name__)

_FORMAT = 3  # of the cache's file; part of the digest
_BROKEN = -1  # label of a recording that could not be read
_LABEL = np.dtype("<i8")
_CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class Recording:
    """A file and its class.

    Args:
        path: The file.
        label: Index of its class.
        span: Start and end in microseconds, the end excluded, where the recording is a part of the
            file; None where it is all of it.
    """

    path: Path
    label: int
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class EventReader:
    """How the recordings of a data set are read.

    Args:
        name: Name of the data set, as it stands in messages and file names.
        sensor: (H, W) of its camera in pixels.
        read: A path to its events, with the fields of `EVENT_DTYPE`; DataError if it is broken.
        version: To be raised with each change of what `read` returns: old caches are then ignored.
    """

    name: str
    sensor: tuple[int, int]
    read: Callable[[Path], NDArray[np.void]]
    version: int = 1

    def frames(self, recording: Recording, binning: FrameBinning) -> NDArray[np.uint8]:
        """Return the frames [T, 2, H, W] of one recording.

        Raises:
            DataError: The recording is broken.
        """
        try:
            events = self.read(recording.path)
        except (OSError, MemoryError) as error:
            raise DataError(f"{recording.path} cannot be read: {error}") from error
        if recording.span is not None:
            start, end = recording.span
            events = events[(events["t"] >= start) & (events["t"] < end)]
            if len(events) == 0:
                raise DataError(f"{recording.path} has no event from {start} to {end} µs")
        try:
            return binning(events, self.sensor)
        except DataError as error:
            raise DataError(f"{recording.path}: {error}") from error


class CachedFrames(Dataset[Item]):
    """The frames [T, C, H, W] and labels of one cache file, whose binary frames are packed bits.

    Its checksum is compared at once; frames stay on disk until they are asked for.

    Args:
        path: The file.
        count: N, the number of recordings, broken ones included.
        shape: (T, C, H, W) of a recording.
        binary: Whether the frames are packed bits.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is not such a cache, or a damaged one.
    """

    def __init__(
        self, path: Path, count: int, shape: tuple[int, int, int, int], binary: bool
    ) -> None:
        self.path, self.shape, self.binary = path, shape, binary
        self._stored = _stored_shape(count, shape, binary)
        frames, labels_size = prod(self._stored), count * _LABEL.itemsize
        whole = np.memmap(path, np.uint8, mode="r")
        if len(whole) != (size := frames + labels_size + _CHECKSUM_BYTES):
            raise ValueError(f"it has {len(whole)} bytes, not {size}")
        content, checksum = whole[:-_CHECKSUM_BYTES], whole[-_CHECKSUM_BYTES:]
        if zlib.crc32(content.data, _seed(path)) != int.from_bytes(checksum.tobytes(), "little"):
            raise ValueError("its checksum is not that of its content")
        labels = np.frombuffer(content[frames:].tobytes(), dtype=_LABEL)
        self._map = whole[:frames].reshape(self._stored)
        self.broken = np.flatnonzero(labels == _BROKEN)
        self._rows = np.flatnonzero(labels != _BROKEN)
        self.labels = labels[self._rows]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Item:
        stored = self._map[self._rows[index]]
        if self.binary:
            frames = np.unpackbits(stored, count=prod(self.shape)).reshape(self.shape)
        else:
            frames = np.array(stored)
        return torch.from_numpy(frames), int(self.labels[index])

    # A worker that is spawned, not forked, maps the file anew; pickle would copy all of it.
    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_map": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map = np.memmap(self.path, np.uint8, mode="r", shape=self._stored)


def cached_frames(
    recordings: Sequence[Recording],
    reader: EventReader,
    binning: FrameBinning,
    folder: Path,
    *,
    split: str,
    allow_broken: bool = False,
) -> CachedFrames:
    """Return the frames of `recordings`, from the cache in `folder` if they are there.

    Args:
        recordings: What the split consists of; at least one.
        reader: How a recording is read.
        binning: How its events become frames.
        folder: Where the cache lies; it is made if need be.
        split: Name of the split, for the file's name and the progress bar.
        allow_broken: False raises at the first broken recording; True leaves broken ones out, and
            `broken` of the result holds their indices.

    Raises:
        DataError: A recording is broken (or all are), or the cache cannot be written.
    """
    path = folder / f"{reader.name}-{split}-{_digest(recordings, reader, binning)}.frames"
    load = partial(
        CachedFrames, path, len(recordings), binning.shape(reader.sensor), binning.binary
    )
    # here and not before a write, after which there may be none; the folder need not be there
    with suppress(OSError):
        remove_leftovers(folder)
    try:
        frames = load()
        if not _any_mended(recordings, frames, reader, binning, allow_broken):
            return frames
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        _log.warning("the frame cache %s is damaged and is created again: %s", path, error)
    shown = tracked(recordings, f"reading the recordings of {reader.name}, {split}")
    try:
        _write(path, shown, len(recordings), reader, binning, allow_broken)
    except OSError as error:
        raise DataError(
            f"the frame cache {path} cannot be written ({error.strerror}): "
            "give another folder with cache_dir"
        ) from error
    return load()


def _any_mended(
    recordings: Sequence[Recording],
    frames: CachedFrames,
    reader: EventReader,
    binning: FrameBinning,
    allow_broken: bool,
) -> bool:
    """Return whether a recording that was broken can be read by now; its size and time may stay."""
    for index in frames.broken.tolist():
        try:
            reader.frames(recordings[index], binning)
        except DataError:
            if not allow_broken:
                raise
        else:
            return True
    return False


def _write(
    path: Path,
    recordings: Iterable[Recording],
    count: int,
    reader: EventReader,
    binning: FrameBinning,
    allow_broken: bool,
) -> None:
    """Parse `count` recordings into the file `path`."""
    shape = binning.shape(reader.sensor)
    labels: list[int] = []
    first_error = None
    checksum = _seed(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        for recording in recordings:
            label = recording.label
            try:
                frames = reader.frames(recording, binning)
            except DataError as error:
                if not allow_broken:
                    raise
                first_error = first_error or error
                frames, label = np.zeros(shape, dtype=np.uint8), _BROKEN
            labels.append(label)
            stored = (np.packbits(frames) if binning.binary else frames).tobytes()
            checksum = zlib.crc32(stored, checksum)
            file.write(stored)
        if first_error and set(labels) == {_BROKEN}:
            raise DataError(f"none of {count} recordings can be read: {first_error}")
        stored = np.array(labels, dtype=_LABEL).tobytes()
        file.write(stored + zlib.crc32(stored, checksum).to_bytes(_CHECKSUM_BYTES, "little"))


def _seed(path: Path) -> int:
    """Return what the checksum of a cache begins with; a file of another name has another one."""
    return zlib.crc32(path.name.encode())


def _stored_shape(count: int, shape: tuple[int, ...], binary: bool) -> tuple[int, ...]:
    """Return the shape of the frames as they lie in the file."""
    return (count, (prod(shape) + 7) // 8) if binary else (count, *shape)


def _digest(recordings: Sequence[Recording], reader: EventReader, binning: FrameBinning) -> str:
    """Return 16 hexadecimal digits that name everything the frames depend on."""
    settings = [_FORMAT, reader.name, reader.version, reader.sensor, asdict(binning)]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for recording in recordings:
        # The last two folders: a data set may be moved as a whole.
        where = "/".join(recording.path.parts[-3:])
        entry: list[Any] = [where, recording.label, recording.span]
        # what is gone or a link to nowhere has neither; reading it says so
        with suppress(OSError):
            status = recording.path.stat()
            entry += [status.st_size, status.st_mtime_ns]
        digest.update(json.dumps(entry).encode())
    return digest.hexdigest()[:16]
