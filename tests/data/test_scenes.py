"""Drawn scenes: areas of rectangles, boxes of objects, and what a style allows."""

import numpy as np
import pytest

from qsnn_plugins.data.scenes import CLASSES, Scene, SceneStyle, draw_scene
from qsnn_plugins.errors import ArgumentError

SHAPE = (48, 64)


def drawn(count=60, **style):
    return [
        draw_scene(np.random.default_rng([7, n]), SHAPE, SceneStyle(**style)) for n in range(count)
    ]


def test_a_rectangle_covers_its_area_and_moves():
    scene = Scene(SHAPE, (0.0, 0.0), [(10.25, 5.5, 20.75, 9.0, 8.0, -2.0, 1.0)])
    start, middle, end = scene.intensity(np.array([0.0, 0.5, 1.0]))
    for frame, left, top in ((start, 10.25, 5.5), (middle, 14.25, 4.5), (end, 18.25, 3.5)):
        assert frame.sum() == pytest.approx(10.5 * 3.5, rel=1e-6)
        columns = (frame.sum(0) * (np.arange(64) + 0.5)).sum() / frame.sum()
        rows = (frame.sum(1) * (np.arange(48) + 0.5)).sum() / frame.sum()
        # the centre of mass of an edge pixel is its middle: a part of a pixel off, at most
        assert (columns, rows) == pytest.approx((left + 5.25, top + 1.75), abs=0.1)


def test_what_is_painted_later_hides_what_is_below():
    below, above = (2, 2, 8, 8, 0, 0, 0.2), (4, 4, 6, 6, 0, 0, 0.9)
    (frame,) = Scene((10, 10), (0.5, 0.5), [below, above]).intensity(np.array([0.0]))
    assert [float(frame[k, k]) for k in (0, 3, 5)] == pytest.approx([0.5, 0.2, 0.9])


def test_a_rectangle_that_leaves_the_frame_is_no_error():
    scene = Scene((10, 10), (0.5, 0.5), [(-9, -9, -3, -3, 0, 0, 0.2), (8, 8, 14, 14, 5, 0, 0.2)])
    start, end = scene.intensity(np.array([0.0, 1.0]))
    assert float(start[9, 9]) == pytest.approx(0.2)
    assert np.all(end == 0.5)


def test_boxes_are_those_of_the_painted_objects():
    """An object alone on an even sky is what differs from the sky."""
    for scene in drawn(objects=(1, 1)):
        if not scene.boxes:
            continue
        (box,) = scene.boxes
        parts = {CLASSES.index("car"): 5, CLASSES.index("pedestrian"): 4}[scene.labels[0]]
        alone = Scene(SHAPE, (2.0, 2.0), scene.rectangles[-parts:])
        (end,) = alone.intensity(np.array([1.0]))
        rows, columns = np.nonzero(end < 2.0 - 1e-3)
        found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        # a pedestrian's torso is narrower than its box, by an eighth on each side
        slack = 1 + 0.13 * (box[2] - box[0])
        assert np.abs(np.array(found) - np.array(box)).max() <= slack


def test_objects_are_as_many_and_as_large_as_the_style_says():
    scenes = drawn(objects=(2, 2), car=(10.0, 10.0), pedestrian=(20.0, 20.0))
    assert {len(scene.boxes) for scene in scenes} <= {1, 2}
    assert sum(len(scene.boxes) for scene in scenes) > 110
    for scene in scenes:
        for (left, top, right, bottom), label in zip(scene.boxes, scene.labels, strict=True):
            height = (10.0, 20.0)[label]
            assert 0 <= left < right <= 64
            assert 0 <= top < bottom <= 48
            assert bottom - top <= height + 1e-9
            assert (bottom - top) * (right - left) >= 0.6 * height**2 * (1.7, 0.4)[label] - 1e-9
    assert drawn(1, objects=(0, 0))[0].boxes == []


def test_both_classes_come():
    labels = [label for scene in drawn(200) for label in scene.labels]
    assert 0.4 < np.mean(labels) < 0.6


@pytest.mark.parametrize(
    "style",
    [
        {"objects": (-1, 2)},
        {"objects": (3, 1)},
        {"objects": 2},
        {"objects": (1.0, 2.0)},
        {"car": (-5, -1)},
        {"pedestrian": (4.0, float("inf"))},
        {"travel": (10, 4)},
        {"travel": (1, 2, 3)},
    ],
)
def test_an_interval_that_is_none_is_refused(style):
    (name,) = style
    with pytest.raises(ArgumentError, match=f"^{name}=.*from 0 on"):
        SceneStyle(**style)


@pytest.mark.parametrize("name", ["car", "pedestrian"])
def test_an_object_has_a_height(name):
    with pytest.raises(ArgumentError, match=f"^{name}=.*heights above 0"):
        SceneStyle(**{name: (0.0, 0.0)})
