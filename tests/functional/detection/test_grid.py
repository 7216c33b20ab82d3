"""What a detector's outputs mean."""

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import YoloGrid, decode_boxes, split_outputs
from tests.functional import detection_reference as reference


def test_the_papers_head_has_576_outputs():
    assert YoloGrid().outputs == 6 * 8 * (2 * 5 + 2) == 576


@pytest.mark.parametrize("grid", [YoloGrid(), YoloGrid(2, 3, 3, 1), YoloGrid(3, 2, 1, 4)])
def test_boxes_are_those_of_a_plain_loop(grid):
    outputs = np.random.default_rng(0).normal(size=(2, grid.outputs))
    prediction = split_outputs(torch.from_numpy(outputs), grid)
    boxes = decode_boxes(prediction)
    for n in range(2):
        for row in range(grid.rows):
            for column in range(grid.columns):
                numbers = reference.cell_numbers(outputs[n], grid, row, column)
                expected = reference.cell_boxes(numbers, grid, row, column)
                assert boxes[n, row, column].numpy() == pytest.approx(np.array(expected))
                confidences = [
                    reference.sigmoid(x) for x in numbers[4 * grid.boxes :][: grid.boxes]
                ]
                assert prediction.confidences[n, row, column].numpy() == pytest.approx(confidences)
                assert (
                    prediction.classes[n, row, column].tolist()
                    == numbers[5 * grid.boxes :].tolist()
                )


def test_outputs_of_another_size_are_named():
    with pytest.raises(ArgumentError, match=r"outputs.shape=\(2, 575\).*\[N, 576\]"):
        split_outputs(torch.zeros(2, 575), YoloGrid())
    with pytest.raises(ArgumentError, match="columns=0"):
        YoloGrid(columns=0)
