"""Q-SNN's binary weights, as printed and as released, against numpy in float64."""

import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import Binary, Regulate

X = np.random.default_rng(0).normal(0.1, 0.3, size=(5, 4, 3, 3))
UPSTREAM = np.random.default_rng(1).normal(size=X.shape)
AXES = (1, 2, 3)


def test_paper_standardises_the_layer_and_scales_by_the_mean_of_a_channel():
    w = torch.tensor(X)
    hat = (X - X.mean()) / X.std()
    scale = np.abs(hat).mean(AXES, keepdims=True)
    quantizer = Binary(w)
    np.testing.assert_allclose(quantizer(w), np.where(hat >= 0, scale, -scale), rtol=1e-12)
    assert (quantizer.scale_count, quantizer.scale_bits) == (5, 32)


def test_released_code():
    w = torch.tensor(X, requires_grad=True)
    quantizer = Binary(w, "power_of_two", regulation="channel", gradient="ede").double()
    quantizer.set_epoch(2, epochs=10)
    q = quantizer(w)
    q.backward(torch.tensor(UPSTREAM))
    mean, deviation = X.mean(AXES, keepdims=True), X.std(AXES, keepdims=True, ddof=1)
    hat = (X - mean) / deviation
    scale = 2 ** np.round(np.log2(np.abs(hat).mean(AXES, keepdims=True)))
    np.testing.assert_allclose(q.detach(), scale * np.sign(hat), rtol=1e-12)
    # the estimator, then backwards through the standardisation of each channel, by hand
    t = 10 ** (-1 + 2 * 2 / 10)
    k = max(1 / t, 1)
    g = UPSTREAM * scale * k * t * (1 - np.tanh(t * hat) ** 2)
    n = X[0].size
    expected = (
        g - g.mean(AXES, keepdims=True) - hat * (g * hat).sum(AXES, keepdims=True) / (n - 1)
    ) / deviation
    np.testing.assert_allclose(w.grad, expected, rtol=1e-5, atol=1e-9)
    assert quantizer.scale_bits == 8


@pytest.mark.parametrize(("per", "axes"), [("layer", None), ("channel", AXES)])
def test_without_regulation_the_weights_are_taken_as_they_are(per, axes):
    w = torch.tensor(X)
    scale = np.abs(X).mean(axes, keepdims=True)
    actual = Binary(w, per=per, regulation="none")(w)
    np.testing.assert_allclose(actual, scale * np.sign(X), rtol=1e-12)


def test_regulation_balances_the_signs():
    w = torch.tensor(X + 5)
    bare, regulated = Binary(w, regulation="none"), Binary(w)
    assert bare.codes(w)[0].double().mean() == 1
    assert regulated.codes(w)[0].double().mean().abs() < 0.2


def test_schedule_starts_at_progress_zero_and_is_in_the_state_dict():
    quantizer = Binary(torch.tensor(X), gradient="ede")
    assert (quantizer.t.item(), quantizer.k.item()) == pytest.approx((0.1, 10))
    quantizer.set_epoch(3, epochs=4)
    state = quantizer.state_dict()
    assert (state["t"].item(), state["k"].item()) == pytest.approx((10**0.5, 1))
    with pytest.raises(ArgumentError, match="epoch="):
        quantizer.set_epoch(5, epochs=4)


@pytest.mark.parametrize(
    "arguments", [{"scale": "max"}, {"per": "row"}, {"regulation": "row"}, {"gradient": "none"}]
)
def test_refused(arguments):
    with pytest.raises(ArgumentError, match=f"{next(iter(arguments))}="):
        Binary(torch.tensor(X), **arguments)


def test_regulate_is_a_parametrization_of_its_own():
    layer = torch.nn.Linear(20, 10)
    torch.nn.utils.parametrize.register_parametrization(layer, "weight", Regulate())
    assert layer.weight.mean().abs() < 1e-6
    assert layer.weight.std(correction=0).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("epoch", "epochs"), [(11, 10), (-1, 10), (1, 0)])
def test_an_epoch_beyond_the_training_is_named(epoch, epochs):
    quantizer = Binary(torch.ones(2, 2), gradient="ede")
    with pytest.raises(ArgumentError, match=f"epoch={epoch} .*a number from 0 to {epochs}"):
        quantizer.set_epoch(epoch, epochs)
