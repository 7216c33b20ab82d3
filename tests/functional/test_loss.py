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


LOSSES = {
    "tet": lambda o, y: tet_loss(o, y, 0.3),
    "wsdr": lambda o, y: wsdr_loss(o, y, [torch.tensor(0.2)] * 3),
    "mse": rate_mse_loss,
    "mean": lambda o, y: mean_cross_entropy_loss(o, y, 0.1),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@each_loss
def test_certain_probabilities_are_classes(loss):
    outputs, labels = (torch.tensor(part) for part in data())
    certain = torch.eye(4, dtype=torch.float32)[labels]  # of another precision than the outputs
    assert float(loss(outputs, certain)) == pytest.approx(float(loss(outputs, labels)), rel=1e-12)


@each_loss
def test_the_loss_of_mixed_labels_is_the_mixture_of_the_losses(loss):
    """Cross entropy is linear in the labels; the squared distance less λ (1 - λ) |y - y'|² is."""
    outputs, labels = (torch.tensor(part) for part in data())
    others = labels.roll(1)
    one_hot = torch.eye(4, dtype=torch.float64)
    mixed = loss(outputs, 0.7 * one_hot[labels] + 0.3 * one_hot[others])
    expected = 0.7 * loss(outputs, labels) + 0.3 * loss(outputs, others)
    if loss is rate_mse_loss:
        expected -= 0.21 * ((one_hot[labels] - one_hot[others]) ** 2).mean()
    assert float(mixed) == pytest.approx(float(expected), rel=1e-12)
    assert float(loss(outputs, others)) != pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_smoothed_mixtures_are_timms(smoothing):
    """timm smooths before it mixes: off the class s / K, on it 1 - s + s / K."""
    outputs, labels = data()
    on, off = 1 - smoothing + smoothing / 4, smoothing / 4
    targets = np.where(np.eye(4)[labels] == 1, on, off)
    targets = 0.6 * targets + 0.4 * targets[::-1]
    logits = outputs.mean(0)
    log_softmax = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    mixed = 0.6 * np.eye(4)[labels] + 0.4 * np.eye(4)[labels[::-1]]
    ours = mean_cross_entropy_loss(torch.tensor(outputs), torch.tensor(mixed), smoothing)
    assert float(ours) == pytest.approx(-(targets * log_softmax).sum(1).mean(), rel=1e-12)


OUTPUTS, LABELS, RATES = torch.zeros(2, 1, 4), torch.zeros(1).long(), [torch.tensor(0.5)] * 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tet_loss(OUTPUTS[:0], LABELS), r"outputs\.shape=\(0, 1, 4\) is not allowed"),
        (lambda: tet_loss(OUTPUTS[0], LABELS), r"give \[T, N, K\] with T >= 1"),
        (lambda: rate_mse_loss(OUTPUTS[:0], LABELS), "T >= 1"),
        (lambda: wsdr_loss(OUTPUTS[:0], LABELS, RATES), "T >= 1"),
        (lambda: mean_cross_entropy_loss(OUTPUTS[:0], LABELS), "T >= 1"),
        (lambda: tet_loss(OUTPUTS, torch.zeros(1, 3)), r"labels='torch.float32 \[1, 3\]'"),
        (lambda: wsdr_loss(OUTPUTS, LABELS[:, None], RATES), r"give classes, int64 \[1\], or pro"),
        (lambda: rate_mse_loss(OUTPUTS, torch.zeros(1)), r"floating \[1, 4\]$"),
        (lambda: mean_cross_entropy_loss(OUTPUTS, LABELS[:0]), r"labels='torch.int64 \[0\]'"),
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


@pytest.mark.parametrize(
    ("classes", "lamb", "probability"),
    [(10, 0.9, 0.157), (10, 0.45, 0.61), (10, 0.05, 0.95), (100, 0.9, 0.32), (2, 0.9, 0.526)],
)
def test_tets_own_optimum(classes, lamb, probability):
    """What the loss asks for where it is least: of the right class at λ = .9, hardly a chance."""
    logits = torch.zeros(3, 1, classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=500, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = tet_loss(logits, torch.tensor([1]), lamb)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert logits.grad.abs().max() < 1e-6
    p = logits.detach().softmax(-1)[..., 1]
    assert p.flatten().tolist() == pytest.approx([probability] * 3, abs=0.005)
    # where the gradient by the right logit a and by the others b is 0
    a, b = logits.detach()[0, 0, 1].item(), logits.detach()[0, 0, 0].item()
    right = 1 / (1 + (classes - 1) * np.exp(b - a))
    assert (1 - lamb) * (1 - right) == pytest.approx(2 * lamb * (a - 1) / classes, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
@pytest.mark.parametrize("loss", [tet_loss, rate_mse_loss, mean_cross_entropy_loss])
def test_labels_may_be_integers_of_any_kind(loss, dtype):
    outputs, labels = (torch.as_tensor(each) for each in data())
    assert loss(outputs, labels.to(dtype)) == loss(outputs, labels)
    with pytest.raises(ArgumentError, match=r"labels.*bool"):
        loss(outputs, labels > 1)
