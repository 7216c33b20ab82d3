"""How alpha starts, learns and is used."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import AdditivePowerOfTwo, PowerOfTwo, layer_quantizer, quantize_weights
from qsnn_plugins.spec import WeightSpec

W = torch.tensor(np.random.default_rng(0).normal(0.1, 0.2, size=(6, 5, 3, 3)), dtype=torch.float32)


def test_default_starts_at_three_deviations_and_is_used_as_a_power_of_two():
    quantizer = PowerOfTwo(W)
    spread = 3 * W.double().numpy().std()
    np.testing.assert_allclose(quantizer.alpha.item(), spread, rtol=1e-6)
    assert quantizer.scale.item() == 2.0 ** np.round(np.log2(spread))
    assert quantizer.scale_bits == 8


def test_default_leaves_the_gradient_of_the_weight_and_rounds_alpha_straight_through():
    quantizer, w = PowerOfTwo(W), W.clone().requires_grad_()
    upstream = torch.randn_like(W)
    q = quantizer(w)
    q.backward(upstream)
    assert torch.equal(w.grad, upstream)
    ratio = (W / quantizer.scale).detach().numpy()
    level = (q / quantizer.scale).detach().numpy()
    slope = np.where(np.abs(ratio) > 1, np.sign(ratio), level - ratio)
    expected = (upstream.numpy() * slope).sum() / np.sqrt(W.numel() * 7)
    np.testing.assert_allclose(quantizer.alpha.grad.item(), expected, rtol=1e-4)


@pytest.mark.parametrize("kind", [PowerOfTwo, AdditivePowerOfTwo])
def test_released_is_the_code_of_apot(kind):
    quantizer, w = kind(W, bits=4, fidelity="released"), W.clone().requires_grad_()
    assert quantizer.alpha.item() == 3
    with torch.no_grad():
        quantizer.alpha.fill_(2.7)
    q = quantizer(w)
    q.sum().backward()
    level = (q / 2.7).detach()
    x = W.double().numpy()
    ratio = (x - x.mean()) / x.std(ddof=1) / 2.7
    grid = np.array(sorted({abs(level) for level in quantizer.levels})) / max(quantizer.levels)
    chosen = np.abs(np.clip(np.abs(ratio), 0, 1)[..., None] - grid).argmin(-1)
    np.testing.assert_allclose(q.detach(), 2.7 * np.sign(ratio) * grid[chosen], rtol=1e-5)
    # statistics are constants: the gradient is that of a division by the deviation
    np.testing.assert_allclose(w.grad, np.full_like(x, 1 / x.std(ddof=1)), rtol=1e-5)
    slope = np.where(np.abs(ratio) > 1, np.sign(ratio), level.numpy() - ratio)
    np.testing.assert_allclose(quantizer.alpha.grad, slope.sum(), rtol=1e-3)  # the plain sum


@pytest.mark.parametrize("regulation", ["none", "layer", "channel"])
@pytest.mark.parametrize(
    "options", [{}, {"fidelity": "released", "scale": "power_of_two"}], ids=str
)
def test_with_two_bits_not_all_of_a_new_layer_is_zero(options, regulation):
    torch.manual_seed(0)
    weight = nn.Linear(64, 32).weight  # uniform: none is beyond 1.74 standard deviations
    quantizer = PowerOfTwo(weight, bits=2, regulation=regulation, **options)
    assert 0.2 < (quantizer(weight) != 0).float().mean() < 0.8


def test_a_scale_that_wavers_around_a_border_does_not_flip():
    quantizer = PowerOfTwo(W)
    power, used = quantizer.scale.item(), []
    for exponent in (0.4, 0.6, 0.4, 0.6, 0.8, 0.6, 0.3):
        with torch.no_grad():
            quantizer.alpha.fill_(power * 2.0**exponent)
        q = quantizer(W)
        used.append(quantizer.scale.item() / power)
        assert quantizer.eval()(W).equal(q)
        quantizer.train()
    assert used == [1, 1, 1, 1, 2, 2, 2]
    other = PowerOfTwo(W)
    state = quantizer.state_dict()
    other.load_state_dict(state)
    assert other.scale == 2 * power
    del state["power"]  # as an earlier version saved it: the nearest
    other.load_state_dict(state)
    assert other.scale == power


@pytest.mark.parametrize("value", [-1.0, 0.0])
def test_alpha_that_was_pushed_to_zero_does_no_harm_and_comes_back(value):
    quantizer = PowerOfTwo(W)
    with torch.no_grad():
        quantizer.alpha.fill_(value)
    q = quantizer(W)
    assert q.isfinite().all()
    q.sum().backward()
    assert quantizer.alpha.grad.abs() > 0


@pytest.mark.parametrize("bits", [6, 7, 8])
def test_width_without_use_is_warned_of(bits):
    with pytest.warns(UserWarning, match=f"cannot use {bits} bits"):
        PowerOfTwo(W, bits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PowerOfTwo(W, 5)
        AdditivePowerOfTwo(W, bits)


@pytest.mark.parametrize(
    "arguments", [{"bits": 1}, {"bits": 9}, {"scale": "max"}, {"regulation": "row"}]
)
def test_refused(arguments):
    with pytest.raises(ArgumentError, match=f"{next(iter(arguments))}="):
        PowerOfTwo(W, **arguments)


def test_an_averaged_scale_is_a_power_of_two():
    layer = nn.Linear(4, 4)
    quantize_weights(layer, WeightSpec(kind="power_of_two"))
    averaged = AveragedModel(layer, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    for alpha in (1.0, 4.0, 2.0):
        layer_quantizer(layer).alpha.data.fill_(alpha)
        layer(torch.rand(1, 4))
        averaged.update_parameters(layer)
    quantizer = layer_quantizer(averaged.module)
    assert quantizer.power == 2.25
    assert quantizer.eval().scale == 2.0
