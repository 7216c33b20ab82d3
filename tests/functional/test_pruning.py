import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import (
    apply_mask,
    channel_gate,
    channel_mask,
    channel_means,
    prune_membrane,
    spatial_mask,
    weak_count,
)


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.35, 0.9])
@pytest.mark.parametrize("shape", [(3, 40), (3, 4, 5, 5)])
def test_the_weakest_of_each_sample_are_masked(shape, ratio):
    u = np.random.default_rng(0).normal(size=shape)
    mask = spatial_mask(torch.tensor(u), ratio).numpy()
    for sample, kept in zip(u, mask, strict=True):
        order = np.sort(np.abs(sample).ravel())
        count = int(ratio * sample.size)
        assert (~kept).sum() == count
        assert np.array_equal(kept, np.abs(sample) >= (order[count] if count else 0))


def test_no_sample_depends_on_its_batch():
    u = torch.randn(6, 3, 4, 4)
    together = spatial_mask(u, 0.35)
    alone = torch.cat([spatial_mask(u[i : i + 1], 0.35) for i in range(6)])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("size", [(4, 4), (5, 7)])
def test_a_block_shares_its_mean_importance(size):
    u = np.random.default_rng(1).normal(size=(2, 3, *size))
    scores = np.empty_like(u)
    for i in range(0, size[0], 2):
        for j in range(0, size[1], 2):
            block = np.s_[..., i : i + 2, j : j + 2]
            scores[block] = np.abs(u[block]).mean((-2, -1), keepdims=True)
    mask = spatial_mask(torch.tensor(u), 0.4, block=2).numpy()
    for score, kept in zip(scores, mask, strict=True):
        cutoff = np.sort(score.ravel())[int(0.4 * score.size)]
        np.testing.assert_array_equal(kept, score >= cutoff - 1e-12)


def test_a_silent_layer_is_kept_and_nan_stays():
    assert spatial_mask(torch.zeros(2, 10), 0.5).all()
    u = torch.tensor([[float("nan"), 1.0, 2.0, 3.0]])
    masked = apply_mask(u, spatial_mask(u, 0.5))
    assert masked.isnan().tolist() == [[True, False, False, False]]


def test_masked_membranes_get_no_gradient():
    u = torch.randn(2, 30, requires_grad=True)
    mask = spatial_mask(u, 0.35)
    apply_mask(u, mask).sum().backward()
    assert torch.equal(u.grad, mask.float())


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (4, 5, 3, 2)])
def test_channel_mask_against_numpy(shape, softmax):
    """SpQuant-SNN Eq. 23 with a sigmoid, its gradient straight through the gate."""
    rng = np.random.default_rng(2)
    u, weight, bias = rng.normal(size=shape), rng.normal(size=(6, 5)), rng.normal(size=6) * 0.1
    pooled = u.reshape(4, 5, -1).mean(2)
    if softmax:
        pooled = np.exp(pooled) / np.exp(pooled).sum(1, keepdims=True)
    score = 1 / (1 + np.exp(-(pooled @ weight.T + bias)))
    w, b = torch.tensor(weight, requires_grad=True), torch.tensor(bias, requires_grad=True)
    leaf = torch.tensor(u, requires_grad=True)
    mask = channel_mask(leaf, w, b, 0.47, softmax)
    assert mask.shape == (4, 6, *(1,) * (len(shape) - 2))
    assert np.array_equal(mask.detach().numpy().reshape(4, 6), score > 0.47)
    assert 0 < (score > 0.47).mean() < 1
    upstream = rng.normal(size=(4, 6))
    mask.backward(torch.tensor(upstream).reshape(mask.shape))
    through = upstream * score * (1 - score)
    np.testing.assert_allclose(w.grad.numpy(), through.T @ pooled, rtol=1e-10)
    np.testing.assert_allclose(b.grad.numpy(), through.sum(0), rtol=1e-10)
    assert leaf.grad is None  # the predictor watches, and is not felt


@pytest.mark.parametrize("softmax", [False, True])
def test_both_masks_are_of_the_membrane_as_it_was_charged(softmax):
    rng = np.random.default_rng(4)
    u, weight, bias = rng.normal(size=(3, 5, 4, 2)), rng.normal(size=(5, 5)), rng.normal(size=5)
    predictor = torch.tensor(weight), torch.tensor(bias)
    pruned, shares = prune_membrane(torch.tensor(u), 0.3, 1, predictor, 0.47, softmax)
    pooled = u.mean((2, 3))
    if softmax:
        pooled = np.exp(pooled) / np.exp(pooled).sum(1, keepdims=True)
    is_open = 1 / (1 + np.exp(-(pooled @ weight.T + bias))) > 0.47
    magnitude = np.abs(u).reshape(3, -1)
    cutoff = np.sort(magnitude)[:, int(0.3 * 40)].reshape(3, 1, 1, 1)
    kept = (np.abs(u) >= cutoff) & is_open[:, :, None, None]
    np.testing.assert_array_equal(pruned.numpy(), np.where(kept, u, 0.0))
    expected = [int(0.3 * 40) / 40, 1 - is_open.mean(), 1 - kept.mean()]
    np.testing.assert_allclose(shares.numpy(), expected, rtol=1e-6)


def test_a_softmax_where_the_sigmoid_stands_keeps_two_channels_at_most():
    """Why Eq. 23 cannot be meant as printed: scores of a softmax add up to 1."""
    scores = torch.randn(1000, 64).mul(20).softmax(1)
    assert (scores > 0.47).sum(1).max() <= 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_dtype_is_kept(dtype):
    u = torch.randn(2, 3, 4, 4).to(dtype)
    assert apply_mask(u, spatial_mask(u, 0.3)).dtype == dtype
    assert channel_mask(u, torch.randn(3, 3)).dtype == dtype


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spatial_mask(torch.zeros(1, 2), 1.0), r"ratio=1\.0 is not allowed"),
        (lambda: spatial_mask(torch.zeros(1, 2), 0.5, 0), "block=0 is not allowed"),
        (lambda: spatial_mask(torch.zeros(2), 0.5), r"u\.shape=\(2,\)"),
        (lambda: spatial_mask(torch.zeros(2, 2), 0.5, 2), r"give \[N, \.\.\., H, W\]"),
        (lambda: channel_mask(torch.zeros(1, 2), torch.eye(3)), r"u\.shape=\(1, 2\)"),
        (lambda: channel_mask(torch.zeros(1, 3), torch.eye(3), threshold=1.0), "threshold=1"),
        (lambda: channel_gate(torch.zeros(1, 3), torch.eye(3), threshold=0.0), "threshold=0"),
        (lambda: channel_means(torch.zeros(3)), r"u\.shape=\(3,\)"),
        (lambda: weak_count(3, -0.5), r"ratio=-0\.5 is not allowed"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
