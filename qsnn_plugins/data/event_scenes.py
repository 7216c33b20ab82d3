"""Drawn traffic scenes, recorded by a simulated event camera: detection without a download."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from qsnn_plugins.data.base import BaseDataModule
from qsnn_plugins.data.boxes import BoxesItem, boxes_target, collate_boxes
from qsnn_plugins.data.checks import at_least, height_width
from qsnn_plugins.data.event_camera import EventCamera, camera_of_size
from qsnn_plugins.data.frames import POLARITIES, FrameBinning
from qsnn_plugins.data.order import EpochOrder
from qsnn_plugins.data.scenes import CLASSES, SceneStyle, draw_scene

_STREAMS = {"train": 0, "val": 1, "test": 2}  # scenes of different splits share no random numbers


class EventScenes(BaseDataModule):
    """Cars and pedestrians before a cluttered background, recorded by an `EventCamera`.

    Scene n of a split depends only on the seed, the split and n. Training never shows a scene
    twice: each epoch continues with the next scenes. The boxes are those at the end of a recording.

    Arguments that are not explained here are those of `BaseDataModule`.

    Args:
        size: (H, W) of sensor and frames in pixels, or one side of a square.
        train_scenes: Scenes per epoch.
        test_scenes: Scenes of the test split, which is also the validation split.
        bin_by: "time" for bins of equal duration, "count" for bins of equally many events.
        binary: True sets pixels with events to 1; False counts the events.
        seed: Seed of all scenes.
        style: Number, size and speed of objects.
        camera: The camera; `size` sets its sensor, and it does not move during one `duration`, so
            `saccades` and `amplitude` are not to be set.

    Raises:
        ArgumentError: A setting is out of its range.

    Example:
        >>> data = EventScenes(time_steps=4, batch_size=2)
        >>> frames, targets = next(iter(data.train_dataloader()))
        >>> frames.shape, data.class_names, targets[0]["boxes"].shape[1]
        (torch.Size([2, 4, 2, 48, 64]), ('car', 'pedestrian'), 4)
    """

    collate = staticmethod(collate_boxes)

    def __init__(
        self,
        time_steps: int = 4,
        size: int | tuple[int, int] = (48, 64),
        train_scenes: int = 2000,
        test_scenes: int = 400,
        bin_by: str = "time",
        binary: bool = True,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
        style: SceneStyle | None = None,
        camera: EventCamera | None = None,
    ) -> None:
        sensor = height_width("size", size)
        self.camera = camera_of_size(camera, sensor, unread=("saccades", "amplitude"))
        self.binning = FrameBinning(time_steps, bin_by=bin_by, binary=binary)
        self.style = style or SceneStyle()
        self.scenes = {
            "train": at_least("train_scenes", train_scenes, 1),
            "test": at_least("test_scenes", test_scenes, 1),
        }
        super().__init__(
            num_classes=len(CLASSES),
            class_names=CLASSES,
            frame_shape=(POLARITIES, *sensor),
            time_steps=time_steps,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
        )

    def split(self, name: str) -> ScenesDataset:
        """Return the split "train" or "test"; validation reads the test split."""
        name = "test" if name == "val" else name
        stream = (self.seed, _STREAMS[name])
        return ScenesDataset(self.camera, self.binning, self.style, stream, self.scenes[name])

    def order(self, split: Any, replicas: int, rank: int) -> EpochOrder:
        """Return the next scenes each epoch, for one of several processes."""
        return OnwardOrder(split, replicas, rank)


class ScenesDataset(Dataset[BoxesItem]):
    """Scenes by number, drawn when they are asked for; there are scenes beyond its `length`.

    Example:
        >>> data = EventScenes(seed=3).split("train")
        >>> frames, target = data[123_456]
        >>> frames.dtype, len(data)
        (torch.uint8, 2000)
    """

    def __init__(
        self,
        camera: EventCamera,
        binning: FrameBinning,
        style: SceneStyle,
        stream: tuple[int, ...],  # seeds that all its scenes share
        length: int,
    ) -> None:
        self.camera, self.binning, self.style = camera, binning, style
        self.stream, self.length = stream, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> BoxesItem:
        # there are scenes beyond the last, and none before the first
        return self.__getitems__([range(len(self))[index] if index < 0 else index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[BoxesItem]:
        """Draw several scenes at once, as a loader asks for them."""
        shape = self.camera.shape
        scenes = [
            draw_scene(np.random.default_rng([*self.stream, index]), shape, self.style)
            for index in indices
        ]
        when = np.linspace(0.0, 1.0, self.camera.steps + 1)
        light = np.stack([scene.intensity(when) for scene in scenes], axis=1)
        recordings = self.camera.record(np.log(self.camera.dark + light))
        span = (0, self.camera.duration)
        return [
            (
                torch.from_numpy(self.binning(events, shape, span=span)),
                boxes_target(scene.boxes, scene.labels, index),
            )
            for events, scene, index in zip(recordings, scenes, indices, strict=True)
        ]


class OnwardOrder(EpochOrder):
    """Numbers that go on from epoch to epoch, shared out among processes as by `EpochShuffle`.

    Example:
        >>> order = OnwardOrder(range(3))
        >>> list(order), list(order)
        ([0, 1, 2], [3, 4, 5])
    """

    def indices(self, epoch: int) -> Iterator[int]:
        """Yield this process's numbers of an epoch."""
        first = epoch * self.total_size
        yield from range(first + self.rank, first + self.total_size, self.num_replicas)
