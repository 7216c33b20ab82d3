"""Soft and hard, the start and the schedule of the differentiable quantizer."""

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import k_means_thresholds, middle_thresholds
from qsnn_plugins.nn import SigmoidQuantizer

W = torch.tensor(np.random.default_rng(0).normal(0, 0.05, size=(32, 40)), dtype=torch.float32)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_mode_picks_soft_or_hard_and_the_switch_overrides_it(bits):
    quantizer = SigmoidQuantizer(W, bits)
    soft, hard = quantizer(W), quantizer.eval()(W)
    assert hard.unique().numel() <= 2**bits < soft.unique().numel()
    quantizer.hard = False
    assert torch.equal(quantizer(W), soft)
    quantizer.train().hard = True
    assert torch.equal(quantizer(W), hard)
    quantizer.hard = None
    assert torch.equal(quantizer(W), soft)


def test_soft_comes_close_to_hard_as_the_temperature_grows():
    quantizer = SigmoidQuantizer(W, 2)
    hard = quantizer.eval()(W)
    quantizer.train()
    gaps = []
    for epoch in (0, 10, 200):
        quantizer.set_epoch(epoch)
        assert quantizer.temperature.item() == 1 + 2 * epoch
        gaps.append((quantizer(W) - hard).abs().mean().item())
    assert gaps[0] > 2 * gaps[1] > 20 * gaps[2]


def test_ternary_does_not_start_at_nearly_all_zeros():
    paper = SigmoidQuantizer(W, 2).codes(W)[0]
    largest = W.abs().max()
    literal = (W.abs() * 1.25 / largest >= 0.5).float().mean()
    assert literal < 0.2
    assert 0.3 < (paper != 0).float().mean() < 0.8
    released = SigmoidQuantizer(W, 2, fidelity="released").codes(W)[0]
    assert 0.3 < (released != 0).float().mean() < 0.8


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_released_start(bits):
    quantizer = SigmoidQuantizer(W, bits, fidelity="released")
    beta = 1.25 * max(2 ** (bits - 1) - 1, 1) / W.abs().max()
    torch.testing.assert_close(quantizer.beta.detach(), beta)
    torch.testing.assert_close(quantizer.alpha.detach(), 1 / beta)
    assert quantizer.temperature == 5
    expected = (0.0,) if bits == 1 else k_means_thresholds(W * beta, len(quantizer.levels) - 1)
    torch.testing.assert_close(quantizer.thresholds, torch.tensor(expected), atol=1e-4, rtol=1e-4)
    quantizer.set_epoch(999)
    assert quantizer.temperature == 2000


def test_paper_start_has_middle_borders_and_reciprocal_scales():
    quantizer = SigmoidQuantizer(W, 4)
    assert tuple(quantizer.thresholds.tolist()) == middle_thresholds(quantizer.levels)
    torch.testing.assert_close(quantizer.alpha * quantizer.beta, torch.tensor(1.0))


def test_released_binary_slope_is_that_of_a_temperature_of_one():
    quantizer = SigmoidQuantizer(W, 1, fidelity="released")
    quantizer.set_epoch(19)
    w = W.clone().requires_grad_()
    quantizer(w).sum().backward()
    z = (W * quantizer.beta.detach()).double()
    slope = 100 * 2 * torch.sigmoid(z) * (1 - torch.sigmoid(z))  # alpha beta = 1
    torch.testing.assert_close(w.grad.double(), slope, rtol=1e-5, atol=1e-6)


def test_borders_and_rate_override_the_fidelity():
    quantizer = SigmoidQuantizer(W, 2, thresholds="k_means", temperature_rate=20)
    assert tuple(quantizer.thresholds.tolist()) != middle_thresholds(quantizer.levels)
    quantizer.set_epoch(2)
    assert quantizer.temperature == 41
    flat = SigmoidQuantizer(W, 2, fidelity="released", temperature_rate=0)
    flat.set_epoch(50)
    assert flat.temperature == 1


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_scale_that_was_pushed_below_zero_turns_no_sign_and_comes_back(name):
    quantizer = SigmoidQuantizer(W, 2)
    with torch.no_grad():
        getattr(quantizer, name).fill_(-0.01)
    q = quantizer(W)
    assert (q * W >= -1e-8).all()  # rounding of sums of sigmoids
    q.backward(W)
    assert getattr(quantizer, name).grad.abs() > 0
    codes, unit = quantizer.codes(W)
    assert torch.equal(codes * unit, quantizer.eval()(W))


@pytest.mark.parametrize(
    "arguments",
    [
        {"bits": 3},
        {"bits": 16},
        {"fidelity": "code"},
        {"thresholds": "best"},
        {"temperature_rate": -1.0},
    ],
)
def test_refused(arguments):
    with pytest.raises(ArgumentError, match=f"{next(iter(arguments))}="):
        SigmoidQuantizer(W, **arguments)
