"""Finding objects, against loops."""

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import YoloGrid, detect
from tests.functional import detection_reference as reference

GRID = YoloGrid(3, 4, 2, 3)


def plain(output, threshold, overlap, most):
    """(score, label, box) of one sample, by falling score."""
    candidates = []
    for row in range(GRID.rows):
        for column in range(GRID.columns):
            numbers = reference.cell_numbers(output, GRID, row, column)
            scores = np.exp(numbers[10:]) / np.exp(numbers[10:]).sum()
            for k, box in enumerate(reference.cell_boxes(numbers, GRID, row, column)):
                confidence = reference.sigmoid(numbers[8 + k])
                box = tuple(np.clip(box, 0, 1))
                if confidence > threshold and reference.area(box) > 0:
                    candidates.append((confidence * scores.max(), int(scores.argmax()), box))
    scores, labels, boxes = (list(part) for part in zip(*candidates, strict=True))
    kept = reference.suppress(boxes, scores, labels, overlap)
    return [candidates[i] for i in kept][:most]


@pytest.mark.parametrize(("threshold", "overlap", "most"), [(0.3, 0.6, 45), (0.0, 0.2, 7)])
def test_what_is_found_is_what_a_plain_loop_finds(threshold, overlap, most):
    outputs = np.random.default_rng(0).normal(size=(4, GRID.outputs))
    found = detect(torch.from_numpy(outputs), GRID, threshold, overlap, most)
    for one, output in zip(found, outputs, strict=True):
        expected = plain(output, threshold, overlap, most)
        assert one.scores.tolist() == pytest.approx([score for score, _, _ in expected])
        assert one.labels.tolist() == [label for _, label, _ in expected]
        assert one.boxes.numpy() == pytest.approx(np.array([box for _, _, box in expected]))


def test_nothing_is_found_where_nothing_is_sure():
    (found,) = detect(torch.full((1, GRID.outputs), -9.0), GRID)
    assert (found.boxes.shape, len(found.scores), len(found.labels)) == ((0, 4), 0, 0)


def test_what_is_not_allowed_is_named():
    for name, value in (("confidence_threshold", 1.5), ("iou_threshold", -1), ("most", 0)):
        with pytest.raises(ArgumentError, match=f"{name}={value}"):
            detect(torch.zeros(1, GRID.outputs), GRID, **{name: value})
