import itertools

import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import Detections
from qsnn_plugins.plot import Scene, boxes_figure

TRUE = torch.tensor([[2.0, 1.0, 10.0, 5.0], [12.0, 2.0, 14.0, 8.0]])


@pytest.fixture
def scene():
    frame = torch.zeros(2, 12, 16, dtype=torch.uint8)
    frame[0, 3, 4], frame[1, 5, 6] = 7, 200
    return Scene(frame, TRUE, torch.tensor([0, 1]), ("car", "pedestrian"))


def found(scores):
    count = len(scores)
    return Detections(TRUE[:1].repeat(count, 1), torch.tensor(scores), torch.ones(count).long())


def corners(patch):
    left, top = patch.get_xy()
    return [left, top, left + patch.get_width(), top + patch.get_height()]


def test_each_detector_has_a_panel_with_all_true_boxes(scene):
    figure = boxes_figure(scene, {"float": found([0.9, 0.2]), "ternary": found([])})
    first, second = figure.axes
    assert [first.get_title(), second.get_title()] == ["float", "ternary"]
    dashed = [[p for p in panel.patches if p.get_linestyle() == "--"] for panel in figure.axes]
    solid = [
        [corners(p) for p in panel.patches if p.get_linestyle() != "--" and p.get_width()]
        for panel in figure.axes
    ]
    # the centre of pixel 0 lies at 0 on the axes, and at 0.5 in a box
    assert solid == [(TRUE - 0.5).tolist()] * 2
    assert [corners(p) for p in dashed[0] if p.get_width()] == [(TRUE[0] - 0.5).tolist()]
    assert not [p for p in dashed[1] if p.get_width()]
    assert [text.get_text() for text in first.texts] == ["pedestrian 0.90"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["true", "found"]


def test_names_of_boxes_that_lie_on_each_other_can_be_read(scene):
    near = Detections(TRUE[:1].repeat(3, 1), torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3).long())
    (panel,) = boxes_figure(scene, {"a": near}).axes
    assert [text.get_text() for text in panel.texts] == ["car 0.90", "car 0.80", "car 0.70"]
    extents = [text.get_window_extent() for text in panel.texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(extents, 2))


def test_events_are_drawn_by_their_sign(scene):
    (image,) = boxes_figure(scene, {"a": found([])}).axes[0].images
    signs = image.get_array()
    assert (signs[3, 4], signs[5, 6], abs(signs).sum()) == (-1, 1, 2)


def test_what_cannot_be_drawn_is_refused(scene):
    with pytest.raises(ArgumentError, match="found="):
        boxes_figure(scene, {})
    with pytest.raises(ArgumentError, match=r"min_score=1\.5"):
        boxes_figure(scene, {"a": found([])}, min_score=1.5)
