import numpy as np
import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import (
    mean_cross_entropy_loss,
    rate_mse_loss,
    spike_regulation,
    tet_loss,
    wsdr_loss,
)


def data(steps=5, samples=7, classes=4):
    rng = np.random.default_rng(0)
    return rng.normal(size=(steps, samples, classes)) * 2, rng.integers(0, classes, samples)


def cross_entropy(outputs, labels):
    """Mean over steps and samples, in numpy."""
    losses = []
    for step in outputs:
        for logits, label in zip(step, labels, strict=True):
            losses.append(np.log(np.exp(logits).sum()) - logits[label])
    return np.mean(losses)


@pytest.mark.parametrize(("lamb", "target"), [(0.0, 1.0), (0.45, 1.0), (0.9, 0.7), (1.0, 1.0)])
def test_tet_loss_against_numpy(lamb, target):
    outputs, labels = data()
    expected = (1 - lamb) * cross_entropy(outputs, labels)
    expected += lamb * ((outputs - target) ** 2).mean()
    ours = tet_loss(torch.tensor(outputs), torch.tensor(labels), lamb, target)
    assert ours.item() == pytest.approx(expected, rel=1e-12)


def test_spike_regulation_as_printed_and_as_released():
    values = [0.9, 0.1, 0.45, 0.3, 0.02]
    rates = [torch.tensor(v, dtype=torch.float64) for v in values]
    hidden = sum((v - 0.5) ** 2 for v in values[1:-1])
    assert spike_regulation(rates, "sum").item() == pytest.approx(hidden)
    assert spike_regulation(rates, "mean").item() == pytest.approx(hidden / 3)
    everything = sum((v - 0.3) ** 2 for v in values)
    ours = spike_regulation(rates, "sum", target=0.3, hidden_only=False)
    assert ours.item() == pytest.approx(everything)


def test_wsdr_loss_against_numpy():
    outputs, labels = data()
    rates = [torch.tensor(v, dtype=torch.float64) for v in (0.9, 0.1, 0.4, 0.3)]
    expected = cross_entropy(outputs, labels) + 0.1 * (0.4**2 + 0.1**2)
    ours = wsdr_loss(torch.tensor(outputs), torch.tensor(labels), rates, 0.1, "sum")
    assert ours.item() == pytest.approx(expected, rel=1e-12)


def test_rate_mse_against_numpy():
    outputs, labels = data()
    expected = ((outputs - np.eye(4)[labels]) ** 2).mean()
    ours = rate_mse_loss(torch.tensor(outputs), torch.tensor(labels))
    assert ours.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_mean_cross_entropy_against_numpy(smoothing):
    outputs, labels = data()
    logits = outputs.mean(0)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    target = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    expected = -(target * log_p).sum(-1).mean()
    ours = mean_cross_entropy_loss(torch.tensor(outputs), torch.tensor(labels), smoothing)
    assert ours.item() == pytest.approx(expected, rel=1e-12)
    assert mean_cross_entropy_loss(torch.tensor(outputs), torch.tensor(labels)) < cross_entropy(
        outputs, labels
    )


def test_gradcheck():
    outputs, labels = (torch.tensor(part) for part in data(2, 3))
    outputs.requires_grad_()
    rates = torch.rand(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda o: tet_loss(o, labels, 0.3), (outputs,))
    assert torch.autograd.gradcheck(lambda o: rate_mse_loss(o, labels), (outputs,))
    assert torch.autograd.gradcheck(lambda o: mean_cross_entropy_loss(o, labels, 0.1), (outputs,))
    assert torch.autograd.gradcheck(
        lambda o, r: wsdr_loss(o, labels, list(r), 0.2), (outputs, rates)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_dtype_is_kept(dtype):
    outputs, labels = (torch.tensor(part) for part in data())
    outputs, rates = outputs.to(dtype), [torch.tensor(0.2, dtype=dtype)] * 3
    assert tet_loss(outputs, labels).dtype == dtype
    assert rate_mse_loss(outputs, labels).dtype == dtype
    assert mean_cross_entropy_loss(outputs, labels).dtype == dtype
    assert wsdr_loss(outputs, labels, rates).dtype == dtype


OUTPUTS, LABELS, RATES = torch.zeros(2, 1, 4), torch.zeros(1).long(), [torch.tensor(0.5)] * 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tet_loss(OUTPUTS[:0], LABELS), r"outputs\.shape=\(0, 1, 4\) is not allowed"),
        (lambda: tet_loss(OUTPUTS[0], LABELS), r"give \[T, N, K\] with T >= 1"),
        (lambda: rate_mse_loss(OUTPUTS[:0], LABELS), "T >= 1"),
        (lambda: wsdr_loss(OUTPUTS[:0], LABELS, RATES), "T >= 1"),
        (lambda: mean_cross_entropy_loss(OUTPUTS[:0], LABELS), "T >= 1"),
        (lambda: mean_cross_entropy_loss(OUTPUTS, LABELS, 2.0), r"label_smoothing=2\.0"),
        (lambda: tet_loss(OUTPUTS, LABELS, 1.5), r"lamb=1\.5 is not allowed"),
        (lambda: wsdr_loss(OUTPUTS, LABELS, RATES, -1.0), r"lamb=-1\.0"),
        (lambda: spike_regulation(RATES, "max"), "reduction='max' is not allowed"),
        (lambda: spike_regulation(RATES[:2]), "rates='2 layers' is not allowed: give three"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
