"""YOLO's loss against loops in float64, and its gradient."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import YoloGrid, assign_boxes, split_outputs, yolo_loss_parts
from tests.functional import detection_reference as reference

GRID = YoloGrid(3, 4, 2, 3)


def draw(seed, count=5, grid=GRID, steps=3, samples=2):
    """Outputs and as many boxes; no two boxes share a predictor, so that each counts."""
    random = np.random.default_rng(seed)
    outputs = random.normal(size=(steps, samples, grid.outputs))
    size = random.uniform(0.05, 0.5, (count, 2))
    corner = random.uniform(0, 1 - size)
    boxes = np.concatenate([corner, corner + size], 1)
    return (
        torch.from_numpy(outputs),
        torch.from_numpy(boxes),
        torch.from_numpy(random.integers(0, grid.classes, count)),
        torch.from_numpy(random.integers(0, samples, count)),
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.9]),
    st.sampled_from(["mean", "sum"]),
)
def test_the_parts_are_those_of_a_plain_loop(seed, count, lamb, reduction):
    drawn = draw(seed, count)
    found = yolo_loss_parts(*drawn, GRID, lamb, reduction)
    expected = reference.loss_parts(*(part.numpy() for part in drawn), GRID, lamb, reduction)
    assert list(found) == ["centre", "shape", "confidence", "no_object", "classes"]
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-12), name


def test_the_reference_notices_exchanged_axes():
    outputs, boxes, labels, samples = draw(0)
    exchanged = boxes[:, [1, 0, 3, 2]]
    found = yolo_loss_parts(outputs, exchanged, labels, samples, GRID)
    drawn = (part.numpy() for part in (outputs, boxes, labels, samples))
    assert float(found["shape"]) != pytest.approx(
        reference.loss_parts(*drawn, GRID, 0.9, "mean")["shape"], rel=1e-3
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_gradient_is_that_of_finite_differences(reduction):
    """The overlap is a target: it is held where it is."""
    grid = YoloGrid(2, 2, 2, 2)
    outputs, boxes, labels, samples = draw(3, count=3, grid=grid, steps=2)
    assignment = assign_boxes(split_outputs(outputs.mean(0), grid), boxes, samples)

    def parts(x):
        found = yolo_loss_parts(x, boxes, labels, samples, grid, 0.9, reduction, assignment)
        return tuple(found.values())

    assert torch.autograd.gradcheck(parts, outputs.requires_grad_())


def test_no_gradient_runs_through_the_overlap():
    outputs, boxes, labels, samples = draw(4)
    outputs.requires_grad_()
    parts = yolo_loss_parts(outputs, boxes, labels, samples, GRID)
    (gradient,) = torch.autograd.grad(parts["confidence"], outputs)
    cells = gradient.unflatten(-1, (GRID.rows, GRID.columns, 5 * GRID.boxes + GRID.classes))
    touched = cells.abs().sum((0, 1, 2, 3)) > 0
    assert touched.nonzero().flatten().tolist() == [8, 9], "the two confidences alone"


def test_without_boxes_only_the_empty_predictors_count():
    outputs = torch.randn(2, 3, GRID.outputs, requires_grad=True)
    nothing = torch.zeros(0, dtype=torch.int64)
    parts = yolo_loss_parts(outputs, torch.zeros(0, 4), nothing, nothing, GRID)
    confidences = split_outputs(outputs.mean(0), GRID).confidences
    assert float(parts.pop("no_object")) == pytest.approx(float(confidences.square().mean()))
    assert all(float(part) == 0.0 for part in parts.values())
    sum(parts.values()).backward()
    assert torch.equal(outputs.grad, torch.zeros_like(outputs))


def test_a_box_on_the_right_and_bottom_border_belongs_to_the_last_cell():
    prediction = split_outputs(torch.zeros(1, GRID.outputs), GRID)
    edge = torch.tensor([[1.0, 1.0, 1.0, 1.0]])
    _, row, column = assign_boxes(prediction, edge, torch.tensor([0])).cells
    assert (int(row), int(column)) == (2, 3)


def test_what_is_not_allowed_is_named():
    outputs, boxes, labels, samples = draw(5)
    with pytest.raises(ArgumentError, match=r"outputs.shape=.*\[T, N, F\]"):
        yolo_loss_parts(outputs[0], boxes, labels, samples, GRID)
    with pytest.raises(ArgumentError, match="reduction='max'"):
        yolo_loss_parts(outputs, boxes, labels, samples, GRID, reduction="max")
    with pytest.raises(ArgumentError, match="lamb=2"):
        yolo_loss_parts(outputs, boxes, labels, samples, GRID, lamb=2)
