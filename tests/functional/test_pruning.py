import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import (
    apply_mask,
    channel_gate,
    channel_means,
    input_attention,
    prune_membrane,
    spatial_mask,
    weak_count,
)


@pytest.mark.parametrize("size", [50, 100, 200])
def test_the_share_of_a_hundred_is_a_whole_number(size):
    for percent in range(100):
        assert weak_count(size, percent / 100) == size * percent // 100


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


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (4, 5, 3, 2)])
def test_gates_against_numpy(shape):
    """SpQuant-SNN Eq. 23 with a sigmoid, its gradient straight through the gate."""
    rng = np.random.default_rng(2)
    u, weight, bias = rng.normal(size=shape), rng.normal(size=(6, 5)), rng.normal(size=6) * 0.1
    pooled = u.reshape(4, 5, -1).mean(2)
    score = 1 / (1 + np.exp(-(pooled @ weight.T + bias)))
    w, b = torch.tensor(weight, requires_grad=True), torch.tensor(bias, requires_grad=True)
    leaf = torch.tensor(u, requires_grad=True)
    gate = channel_gate(channel_means(leaf), w, b, 0.47)
    assert np.array_equal(gate.detach().numpy(), score > 0.47)
    assert 0 < (score > 0.47).mean() < 1

    x, upstream = rng.normal(size=(4, 6, 3)), rng.normal(size=(4, 6, 3))
    current = torch.tensor(x, requires_grad=True)
    masked = apply_mask(current, gate.unsqueeze(-1))
    masked.backward(torch.tensor(upstream))
    is_open = (score > 0.47)[..., None]
    assert np.array_equal(masked.detach().numpy(), np.where(is_open, x, 0.0))
    assert np.array_equal(current.grad.numpy(), np.where(is_open, upstream, 0.0))
    through = (upstream * x).sum(2) * score * (1 - score)
    np.testing.assert_allclose(w.grad.numpy(), through.T @ pooled, rtol=1e-10)
    np.testing.assert_allclose(b.grad.numpy(), through.sum(0), rtol=1e-10)
    assert leaf.grad is None  # the predictor watches, and is not felt


@pytest.mark.parametrize("shape", [(3, 8, 9, 5), (3, 10, 4, 2), (3, 3, 8, 8), (3, 1, 6), (2, 16)])
def test_what_the_released_predictor_sees_against_numpy(shape):
    """Interpolation to a quarter of channels, height and width; mean over the map; softmax."""
    x = np.random.default_rng(3).normal(size=shape)
    seen = x
    for axis in range(1, x.ndim):
        size = x.shape[axis]
        if size >= 4:
            seen = np.take(seen, np.floor(np.arange(size // 4) * 4.0).astype(int), axis)
    pooled = seen.reshape(*seen.shape[:2], -1).mean(2)
    expected = np.exp(pooled) / np.exp(pooled).sum(1, keepdims=True)
    np.testing.assert_allclose(input_attention(torch.tensor(x)).numpy(), expected, rtol=1e-12)


def test_the_released_subsampling_is_torchs_interpolation():
    x = torch.randn(2, 3, 16, 12, 20)  # the released code has it on [N, T, C, H, W]
    theirs = torch.nn.functional.interpolate(x, scale_factor=0.25).mean((3, 4)).softmax(2)
    torch.testing.assert_close(input_attention(x.flatten(0, 1)), theirs.flatten(0, 1))


@pytest.mark.parametrize("masked", ["accumulation", "membrane"])
def test_spatial_masks_against_numpy(masked):
    """What is weak is charged without its input, or erased; gradients in closed form."""
    rng = np.random.default_rng(4)
    x, q, upstream = (rng.normal(size=(3, 5, 4, 2)) for _ in range(3))
    h, rest = 0.5 * q + x, 0.5 * q if masked == "accumulation" else np.zeros_like(q)
    magnitude = np.abs(h).reshape(3, -1)
    kept = np.abs(h) >= np.sort(magnitude)[:, int(0.3 * 40)].reshape(3, 1, 1, 1)
    current, state = (torch.tensor(array, requires_grad=True) for array in (x, q))
    left = 0.5 * state if masked == "accumulation" else 0.0
    pruned, share = prune_membrane(0.5 * state + current, left, 0.3)
    np.testing.assert_array_equal(pruned.detach().numpy(), np.where(kept, h, rest))
    assert float(share) == pytest.approx(int(0.3 * 40) / 40, rel=1e-6)
    pruned.backward(torch.tensor(upstream))
    np.testing.assert_array_equal(current.grad.numpy(), np.where(kept, upstream, 0.0))
    through_state = 0.5 if masked == "accumulation" else np.where(kept, 0.5, 0.0)
    np.testing.assert_array_equal(state.grad.numpy(), upstream * through_state)


def test_a_softmax_where_the_sigmoid_stands_keeps_two_channels_at_most():
    """Why Eq. 23 cannot be meant as printed: scores of a softmax add up to 1."""
    scores = torch.randn(1000, 64).mul(20).softmax(1)
    assert (scores > 0.47).sum(1).max() <= 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_dtype_is_kept(dtype):
    u = torch.randn(2, 3, 4, 4).to(dtype)
    assert apply_mask(u, spatial_mask(u, 0.3)).dtype == dtype
    assert prune_membrane(u, 0.5 * u)[0].dtype == dtype
    # sums of 16 bits would lose what the predictor weighs
    at_least = torch.promote_types(dtype, torch.float32)
    assert channel_means(u).dtype == input_attention(u).dtype == at_least


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spatial_mask(torch.zeros(1, 2), 1.0), r"ratio=1\.0 is not allowed"),
        (lambda: spatial_mask(torch.zeros(1, 2), 0.5, 0), "block=0 is not allowed"),
        (lambda: spatial_mask(torch.zeros(2), 0.5), r"u\.shape=\(2,\)"),
        (lambda: spatial_mask(torch.zeros(2, 2), 0.5, 2), r"H, W\] for blocks of 2 x 2"),
        (lambda: channel_gate(torch.zeros(1, 2), torch.eye(3)), r"means\.shape=\(1, 2\)"),
        (lambda: channel_gate(torch.zeros(1, 3), torch.eye(3), threshold=1.0), "threshold=1"),
        (lambda: channel_gate(torch.zeros(1, 3), torch.eye(3), threshold=0.0), "threshold=0"),
        (lambda: channel_means(torch.zeros(3)), r"u\.shape=\(3,\)"),
        (lambda: weak_count(3, -0.5), r"ratio=-0\.5 is not allowed"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
