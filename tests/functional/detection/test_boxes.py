"""Boxes against plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import clip_boxes, nms, pairwise_iou
from qsnn_plugins.functional.detection import boxes as module
from qsnn_plugins.torchvision_ops import Operators, register_missing_ops
from tests.functional import detection_reference as reference


@pytest.fixture(params=["_in_passes", "_with_torchvision"])
def suppress(request, monkeypatch):
    """Either way to suppress; where torchvision's operator does not load, a plain loop plays it."""
    if request.param == "_with_torchvision" and register_missing_ops() is not Operators.NATIVE:
        monkeypatch.setattr(torch.ops.torchvision, "nms", plain_operator)
    return getattr(module, request.param)


def plain_operator(boxes, scores, iou_threshold):
    """What torchvision's `nms` is documented to give: kept indices by falling score."""
    groups = [0] * len(boxes)
    kept = reference.suppress(boxes.tolist(), scores.tolist(), groups, iou_threshold)
    return torch.tensor(kept, dtype=torch.int64)


def random_boxes(random, *shape):
    corner = random.uniform(-1, 8, (*shape, 2))
    return torch.from_numpy(
        np.concatenate([corner, corner + random.uniform(0, 5, (*shape, 2))], -1)
    )


def test_overlaps_are_those_of_a_plain_loop():
    random = np.random.default_rng(0)
    first, second = random_boxes(random, 3, 7), random_boxes(random, 3, 5)
    found = pairwise_iou(first, second)
    for n in range(3):
        for i, a in enumerate(first[n].tolist()):
            for j, b in enumerate(second[n].tolist()):
                assert float(found[n, i, j]) == pytest.approx(reference.iou(a, b), abs=1e-15)


def test_an_overlap_is_differentiable_and_finite_for_empty_boxes():
    random = np.random.default_rng(1)
    first, second = random_boxes(random, 4), random_boxes(random, 3)
    assert torch.autograd.gradcheck(pairwise_iou, (first.requires_grad_(), second.requires_grad_()))
    nothing = torch.zeros(1, 4, requires_grad=True)
    overlap = pairwise_iou(nothing, nothing)
    overlap.sum().backward()
    assert float(overlap.detach()) == 0.0
    assert torch.isfinite(nothing.grad).all()


def test_boxes_are_cut_at_the_border():
    boxes = torch.tensor([[-3.0, -2.0, 4.0, 5.0], [6.0, 1.0, 12.0, 11.0], [20.0, 20.0, 22.0, 24.0]])
    clipped = clip_boxes(boxes, height=10, width=8)
    assert clipped.tolist() == [[0, 0, 4, 5], [6, 1, 8, 10], [8, 10, 8, 10]]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from([0.0, 0.3, 0.6, 1.0]))
def test_suppression_keeps_what_a_plain_loop_keeps(suppress, seed, count, threshold):
    random = np.random.default_rng(seed)
    boxes = random_boxes(random, 3, count)
    # few different scores, so that many are equal, and some that are left out
    scores = torch.from_numpy(random.choice([-np.inf, 0.1, 0.2, 0.7, 0.8], (3, count)))
    groups = torch.from_numpy(random.integers(0, 3, (3, count)))
    if suppress is not module._in_passes:  # it does not say which of equal scores comes first
        scores += torch.from_numpy(random.uniform(0, 0.01, (3, count)))
    kept = suppress(boxes, scores, groups, threshold)
    for n in range(3):
        arguments = boxes[n].tolist(), scores[n].tolist(), groups[n].tolist(), threshold
        assert set(kept[n].nonzero().flatten().tolist()) == set(reference.suppress(*arguments))


def test_a_long_chain_of_suppressions_comes_to_rest():
    """Each box overlaps its neighbours alone, so every second one stays."""
    left = torch.arange(50.0)
    boxes = torch.stack([left, torch.zeros(50), left + 3, torch.ones(50)], -1)[None]
    scores = torch.linspace(1, 0.1, 50)[None]
    kept = nms(boxes, scores, torch.zeros(1, 50, dtype=torch.int64), iou_threshold=0.4)
    assert kept[0].nonzero().flatten().tolist() == list(range(0, 50, 2))


def test_the_check_would_notice_a_missed_suppression():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 3.5]]).tolist()
    assert reference.suppress(boxes, [0.9, 0.8], [0, 0], 0.5) == [0]
    assert reference.suppress(boxes, [0.9, 0.8], [0, 1], 0.5) == [0, 1]


def test_a_threshold_outside_0_to_1_is_named():
    with pytest.raises(ArgumentError, match=r"iou_threshold=1\.5"):
        nms(torch.zeros(1, 1, 4), torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.int64), 1.5)


def test_boxes_of_integers_are_named():
    floats, integers = torch.zeros(1, 4), torch.zeros(1, 4, dtype=torch.int64)
    for argument, boxes in (("first", (integers, floats)), ("second", (floats, integers))):
        with pytest.raises(ArgumentError, match=rf"{argument}\.dtype=torch\.int64"):
            pairwise_iou(*boxes)
