"""Scenes seen by the camera: by seed, without an end, and alike alone and in a batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from qsnn_plugins.data import EventCamera, EventScenes
from qsnn_plugins.data.event_scenes import OnwardOrder
from qsnn_plugins.errors import ArgumentError


def build(**changes):
    return EventScenes(**({"train_scenes": 4, "test_scenes": 3, "batch_size": 2} | changes))


def same(first, second):
    return torch.equal(first[0], second[0]) and all(
        torch.equal(first[1][key], second[1][key]) for key in ("boxes", "labels")
    )


def test_a_scene_depends_on_seed_split_and_number_alone():
    items = build().split("train").__getitems__([5, 0, 5])
    assert same(items[0], items[2])
    assert same(items[0], build(train_scenes=99, batch_size=9).split("train")[5])
    assert not same(items[0], items[1])
    assert not same(items[0], build(seed=1).split("train")[5])
    assert not same(items[0], build().split("test")[5])


def test_scenes_are_counted_from_the_end_too():
    scenes = build().split("train")
    assert same(scenes[-1], scenes[3])
    assert int(scenes[-1][1]["image_id"]) == 3
    with pytest.raises(IndexError):
        scenes[-5]


def test_training_never_sees_a_scene_twice():
    loader = build().train_dataloader()
    seen = [
        int(target["image_id"]) for _ in range(3) for _, targets in loader for target in targets
    ]
    assert seen == list(range(12))
    loader.sampler.set_epoch(1)
    assert [int(t["image_id"]) for _, targets in loader for t in targets] == [4, 5, 6, 7]


def test_validation_and_test_are_the_same_scenes_each_time():
    data = build()
    first, second = list(data.val_dataloader()), list(data.test_dataloader())
    assert sum(len(targets) for _, targets in first) == 3
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True))


def test_frames_are_what_the_camera_fires():
    """Where nothing moves nothing fires: the mean rate follows what an object covers."""
    frames = torch.stack([build().split("train")[n][0] for n in range(20)])
    assert frames.shape == (20, 4, 2, 48, 64)
    assert set(frames.unique().tolist()) == {0, 1}
    assert 0.005 < float(frames.float().mean()) < 0.2
    counted = build(binary=False).split("train")[0][0]
    assert torch.equal(counted.clamp(max=1), frames[0])


def test_events_lie_where_objects_are():
    inside, outside = [], []
    for n in range(30):
        frames, target = build().split("train")[n]
        mask = torch.zeros(48, 64, dtype=torch.bool)
        for left, top, right, bottom in target["boxes"].round().int().tolist():
            mask[top:bottom, left:right] = True
        last = frames[-1].float().mean(0)
        inside.append(last[mask])
        outside.append(last[~mask])
    assert torch.cat(inside).mean() > 3 * torch.cat(outside).mean()


def test_a_film_is_recorded_as_its_images_are():
    """`record` against `__call__`: the same saccade given as a film fires the same events."""
    camera = EventCamera(sensor=8)
    image = np.random.default_rng(0).integers(0, 255, (1, 8, 8), dtype=np.uint8)
    film = np.stack(list(camera._look(camera._intensity(image, None))))
    assert np.array_equal(camera.record(film)[0], camera(image)[0])


def test_processes_share_the_scenes_of_an_epoch():
    parts = [OnwardOrder(range(4), replicas=2, rank=rank) for rank in (0, 1)]
    assert [list(part) for part in parts] == [[0, 2], [1, 3]]
    assert [list(part) for part in parts] == [[4, 6], [5, 7]]
    assert len(parts[0]) == 2


@pytest.mark.parametrize("setting", [{"sensor": 48}, {"saccades": 7}, {"amplitude": 9.0}])
def test_what_is_not_used_of_a_camera_is_refused(setting):
    (name,) = setting
    with pytest.raises(ArgumentError, match=rf"^camera\.{name}="):
        build(camera=EventCamera(**setting))


def test_what_is_used_of_a_camera_arrives():
    camera = EventCamera(threshold=0.2, duration=400_000, steps=64)
    assert build(camera=camera).camera == replace(camera, sensor=(48, 64))


def test_what_is_not_allowed_is_named():
    for name in ("train_scenes", "test_scenes", "time_steps", "batch_size"):
        with pytest.raises(ArgumentError, match=f"{name}=0"):
            build(**{name: 0})
