"""Texts beside points: that they do not cover each other, and that a crowd is told from room."""

from itertools import combinations

import pytest

from qsnn_plugins.plot.labels import Label, place_labels
from qsnn_plugins.plot.style import new_figure


def placed(points):
    figure, ((axes,),) = new_figure(4, 3)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    labels = [Label.around(f"label {i}", point, 5.0) for i, point in enumerate(points)]
    place_labels(figure, axes, labels, points)
    return axes, [text.get_window_extent() for text in axes.texts]


@pytest.mark.parametrize(
    "points",
    [
        [(0.5, 0.5), (0.5, 0.52), (0.5, 0.54)],
        [(0.99, 0.99), (0.01, 0.01)],
        [(0.5, 0.5), (0.6, 0.5), (0.55, 0.55)],
    ],
)
def test_texts_cover_neither_each_other_nor_the_edge(points):
    axes, boxes = placed(points)
    assert [text.get_text() for text in axes.texts] == [f"label {i}" for i in range(len(points))]
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert axes.bbox.x0 <= box.x0 <= box.x1 <= axes.bbox.x1
        assert axes.bbox.y0 <= box.y0 <= box.y1 <= axes.bbox.y1


def test_with_no_room_each_text_is_there_all_the_same():
    axes, _ = placed([(0.5, 0.5)] * 12)
    assert len(axes.texts) == 12
