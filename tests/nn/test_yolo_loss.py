"""The loss of a recipe: the parts, weighted and added."""

import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import YoloGrid, split_outputs, yolo_loss_parts
from qsnn_plugins.nn import YoloLoss

NAN = float("nan")

GRID = YoloGrid(2, 3, 2, 2)
BOXES = [torch.tensor([[0.1, 0.1, 0.4, 0.5], [0.5, 0.2, 0.9, 0.9]]), torch.zeros(0, 4),
         torch.tensor([[0.0, 0.3, 0.8, 0.6]])]  # fmt: skip
LABELS = [torch.tensor([1, 0]), torch.zeros(0, dtype=torch.int64), torch.tensor([1])]
TARGETS = [{"boxes": b, "labels": n} for b, n in zip(BOXES, LABELS, strict=True)]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_is_the_weighted_sum_of_the_parts(reduction):
    torch.manual_seed(0)
    outputs = torch.randn(2, 3, GRID.outputs)
    loss, parts = YoloLoss(2.0, 3.0, 0.25, 7.0, 0.4, reduction)(outputs, TARGETS, GRID)
    samples = torch.tensor([0, 0, 2])
    plain = yolo_loss_parts(
        outputs, torch.cat(BOXES), torch.cat(LABELS), samples, GRID, 0.4, reduction
    )
    weights = {"centre": 2.0, "shape": 3.0, "confidence": 1.0, "no_object": 0.25, "classes": 7.0}
    assert {name: float(part) for name, part in parts.items()} == pytest.approx(
        {name: weight * float(plain[name]) for name, weight in weights.items()}
    )
    assert float(loss) == pytest.approx(sum(map(float, parts.values())))


def test_a_batch_without_boxes_has_a_loss_and_a_gradient():
    outputs = torch.randn(2, 1, GRID.outputs, requires_grad=True)
    loss, _ = YoloLoss()(outputs, TARGETS[1:2], GRID)
    loss.backward()
    assert torch.isfinite(outputs.grad).all()
    assert outputs.grad.abs().sum() > 0


@pytest.mark.parametrize("box", [[0.5, 0.5, 0.1, 0.9], [0.1, 0.5, 0.5, 0.1], [0.1, 0.1, 0.5, NAN]])
def test_a_box_that_is_turned_is_named(box):
    boxes, one = torch.tensor([[0.1, 0.1, 0.5, 0.5], box]), torch.tensor([0, 0])
    with pytest.raises(ArgumentError, match=r"boxes=\[.*left <= right"):
        yolo_loss_parts(torch.zeros(2, 1, 7), boxes, one, one, YoloGrid(1, 1, 1, 2))


def test_what_is_not_allowed_is_named():
    for arguments in ({"centre": -1.0}, {"no_object": -0.5}, {"lamb": 1.5}, {"reduction": "max"}):
        (name,) = arguments
        with pytest.raises(ArgumentError, match=f"{name}="):
            YoloLoss(**arguments)
    assert "no_object=0.5" in repr(YoloLoss())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_targets_are_not_rounded_to_the_outputs(dtype):
    """A centre at 0.74805 of a width of eight cells: rounded, it would lie in the next one."""
    grid = YoloGrid()
    targets = [{"boxes": torch.tensor([[0.6226, 0.7, 0.8735, 0.93]]), "labels": torch.tensor([1])}]
    outputs = torch.randn(2, 1, grid.outputs, generator=torch.Generator().manual_seed(0)).to(dtype)
    loss, parts = YoloLoss()(outputs, targets, grid)
    expected, wide = YoloLoss()(outputs.float(), targets, grid)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    assert parts == wide
    assert split_outputs(outputs[0], grid).confidences.dtype == torch.float32


def test_each_sample_has_a_target():
    outputs = torch.randn(2, 3, GRID.outputs)
    with pytest.raises(ArgumentError, match=r"len\(targets\)=2 .*each of 3 samples"):
        YoloLoss()(outputs, TARGETS[:2], GRID)
