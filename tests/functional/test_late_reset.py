"""The stored membrane of a neuron whose reset lands one step later."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qsnn_plugins.functional import keep_comparison, nearest_level


@given(
    h=st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=20),
    threshold=st.floats(0.0625, 3, width=32),
)
def test_what_is_stored_tells_whether_it_fired(h, threshold):
    h, threshold = torch.tensor(h), torch.tensor(threshold)
    q = nearest_level(h)
    kept = keep_comparison(q, h > threshold, threshold)
    assert torch.equal(kept > threshold, h > threshold)
    told_already = (q > threshold) == (h > threshold)
    assert torch.equal(kept[told_already], q[told_already])
    assert len(kept.unique()) <= 4, "the three levels and one code more"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_next_number_above_is_above_in_every_dtype(dtype):
    threshold = torch.tensor([0.1, 0.75, 1.0, 1.3], dtype=dtype)
    fired = torch.tensor(True)
    kept = keep_comparison(torch.zeros(4, dtype=dtype), fired, threshold)
    assert (kept > threshold).all()
    assert (kept <= threshold * (1 + 4 * torch.finfo(dtype).eps)).all()


def test_the_gradient_goes_straight_through():
    q = torch.tensor([1.0, 0.0], requires_grad=True)
    keep_comparison(q, torch.tensor([True, False]), torch.tensor(1.5)).backward(
        torch.tensor([2.0, 3.0])
    )
    assert q.grad.tolist() == [2.0, 3.0]
