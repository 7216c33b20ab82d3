"""BatchMixing against torchvision called directly, and closed forms."""

import numpy as np
import pytest
import torch

from qsnn_plugins.data import BatchMixing
from qsnn_plugins.data.transformed import drawing_from
from qsnn_plugins.errors import ArgumentError

from torchvision.transforms.v2 import CutMix, MixUp  # isort: skip  (after torchvision is mended)

LABELS = torch.tensor([0, 1, 2, 3, 4, 5])
BOTH = {"mixup": 0.8, "cutmix": 1}


def images(*shape, seed=0):
    shape = shape or (6, 3, 8, 10)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def recordings(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(9, (6, 4, 2, 8, 10), generator=generator, dtype=torch.uint8)


def share(soft):
    """The λ that soft labels of six classes tell; each sample is mixed with the one before."""
    lamb = soft.diagonal()
    assert torch.allclose(soft, lamb[:, None] * torch.eye(6) + (1 - lamb) * torch.eye(6).roll(1, 0))
    assert lamb.unique().numel() == 1
    return float(lamb[0])


@pytest.mark.parametrize("frames", [images(), recordings()], ids=["images", "recordings"])
def test_samples_and_labels_are_mixed_with_the_same_share(frames):
    before = frames.clone()
    for epoch in range(10):
        mixed, soft = BatchMixing()(frames, LABELS, 6, epoch)
        lamb, x = share(soft), frames.numpy().astype(np.float64)
        expected = lamb * x + (1 - lamb) * np.roll(x, 1, axis=0)
        assert mixed.dtype == torch.float32
        np.testing.assert_allclose(mixed, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(frames, before)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({"mixup": 0.3}, MixUp(alpha=0.3, num_classes=6)), (BOTH, CutMix(alpha=1.0, num_classes=6))],
)
def test_it_is_torchvisions(settings, kind):
    if "cutmix" in settings:
        settings = settings | {"cutmix_share": 1.0}
    mixed, soft = BatchMixing(**settings)(images(), LABELS, 6, epoch=3, batch=5, process=1, seed=7)
    with drawing_from(7, 3, 5, 1, 1):
        torch.rand(())  # whether it is mixed at all
        if "cutmix" in settings:
            torch.rand(())  # which of the two
        expected = kind(images(), LABELS)
    assert torch.equal(mixed, expected[0])
    assert torch.equal(soft, expected[1])


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_shares_are_of_a_beta_distribution(alpha):
    drawn = [
        share(BatchMixing(mixup=alpha)(images(6, 1, 1, 1), LABELS, 6, e)[1]) for e in range(900)
    ]
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.04)
    assert np.var(drawn) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.12)


def test_cutmix_puts_a_rectangle_of_all_steps_in_place():
    frames = recordings().float() + 10 * torch.arange(6).reshape(6, 1, 1, 1, 1)
    mixing = BatchMixing(mixup=0, cutmix=1.0)
    shares = set()
    for epoch in range(30):
        mixed, soft = mixing(frames, LABELS, 6, epoch)
        other = mixed != frames
        assert torch.equal(mixed, torch.where(other, frames.roll(1, 0), frames))
        place = other[0, 0, 0]
        assert torch.equal(other, place.expand_as(other))
        rows, columns = place.any(1).sum(), place.any(0).sum()
        assert place.sum() == rows * columns
        assert share(soft) == pytest.approx(1 - float(place.float().mean()), abs=1e-6)
        shares.add(share(soft))
    assert len(shares) > 10


@pytest.mark.parametrize("cutmix_share", [0.0, 0.5, 1.0])
def test_either_is_as_likely_as_asked_for(cutmix_share):
    mixing = BatchMixing(**BOTH, cutmix_share=cutmix_share)
    cut = 0
    for epoch in range(300):
        mixed, _ = mixing(images(), LABELS, 6, epoch)
        cut += bool(((mixed == images()) | (mixed == images().roll(1, 0))).all())
    assert cut == pytest.approx(300 * cutmix_share, abs=40 if cutmix_share == 0.5 else 0)


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_as_many_batches_are_mixed_as_asked_for(probability):
    mixing, hard = BatchMixing(probability=probability), 0
    for batch in range(300):
        frames, labels = mixing(images(), LABELS, 6, epoch=0, batch=batch)
        if labels is LABELS:
            assert torch.equal(frames, images())
            hard += 1
    assert 300 - hard == pytest.approx(300 * probability, abs=40 if probability == 0.5 else 0)


def test_it_stops_at_its_epoch():
    mixing = BatchMixing(until_epoch=2)
    for epoch in range(5):
        frames, labels = mixing(recordings(), LABELS, 6, epoch)
        assert (labels.dim() == 2) == (epoch < 2)
        assert (frames.dtype == torch.uint8) == (epoch >= 2)


def test_one_key_gives_one_batch_whatever_else_draws():
    key = {"epoch": 1, "batch": 2, "process": 0, "seed": 5}
    first = BatchMixing()(images(), LABELS, 6, **key)[1]
    torch.rand(17)
    state = torch.get_rng_state()
    assert torch.equal(BatchMixing()(images(), LABELS, 6, **key)[1], first)
    assert torch.equal(torch.get_rng_state(), state)
    for name in key:
        other = BatchMixing()(images(), LABELS, 6, **key | {name: 9})[1]
        assert not torch.equal(other, first), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_draws_are_those_of_float32_in_every_precision(dtype):
    """Lightning sets the default dtype of a training in `bf16-true` or `64-true`."""
    expected = [BatchMixing(**BOTH)(recordings(), LABELS, 6, epoch=n) for n in range(4)]
    torch.set_default_dtype(dtype)
    try:
        found = [BatchMixing(**BOTH)(recordings(), LABELS, 6, epoch=n) for n in range(4)]
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)
    for (frames, labels), (same_frames, same_labels) in zip(expected, found, strict=True):
        assert torch.equal(frames, same_frames)
        assert torch.equal(labels, same_labels)


@pytest.mark.parametrize(
    ("settings", "argument"),
    [
        ({"mixup": -0.5}, "mixup"),
        ({"mixup": 0.0}, "mixup"),
        ({"cutmix": float("nan")}, "cutmix"),
        ({"probability": 1.5}, "probability"),
        ({"cutmix_share": -1}, "cutmix_share"),
        ({"mixup": 0.5, "cutmix_share": 0.9}, "cutmix_share"),
        ({"mixup": 0, "cutmix": 1, "cutmix_share": 1.0}, "cutmix_share"),
        ({"until_epoch": -1}, "until_epoch"),
    ],
)
def test_bad_settings_are_named(settings, argument):
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        BatchMixing(**settings)


def test_frames_of_another_form_are_named():
    with pytest.raises(ArgumentError, match=r"^frames\.shape=\[6, 8\]"):
        BatchMixing()(torch.zeros(6, 8), LABELS, 6, 0)
