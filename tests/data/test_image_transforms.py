"""What is done with still images, against numpy and closed forms."""

import numpy as np
import pytest
import torch
from PIL import Image

from qsnn_plugins.data import Cutout
from qsnn_plugins.data.image_transforms import (
    AUGMENTATIONS,
    photograph_transform,
    small_image_transform,
)
from qsnn_plugins.errors import ArgumentError

STATISTICS = ([0.1, 0.2, 0.3], [0.5, 0.25, 0.2])
PLAIN = ([0.0] * 3, [1.0] * 3)


def pixels(seed=0, side=32):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_nothing_but_the_normalization_without_augmentation():
    image = pixels()
    seen = small_image_transform("none", 32, STATISTICS)(Image.fromarray(image))
    expected = (image.transpose(2, 0, 1) / 255 - np.reshape(STATISTICS[0], (3, 1, 1))) / np.reshape(
        STATISTICS[1], (3, 1, 1)
    )
    assert seen.dtype == torch.float32
    np.testing.assert_allclose(seen, expected, rtol=1e-5, atol=1e-6)


def test_crops_and_flips_are_all_that_can_be():
    """Of 9 x 9 crops and their mirror images, most come up in 2,000 draws; nothing else does."""
    image = pixels()
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
    possible = {}
    for row in range(9):
        for column in range(9):
            crop = padded[row : row + 32, column : column + 32]
            possible[crop.tobytes()] = (row, column, False)
            possible[np.ascontiguousarray(crop[:, ::-1]).tobytes()] = (row, column, True)
    transform = small_image_transform("crop_flip", 32, PLAIN)
    torch.manual_seed(0)
    seen = set()
    for _ in range(2_000):
        crop = (transform(Image.fromarray(image)) * 255).round().to(torch.uint8)
        seen.add(possible[crop.permute(1, 2, 0).numpy().tobytes()])
    assert len(seen) > 155


def test_autoaugment_changes_colours_and_cuts_a_hole():
    transform = small_image_transform("autoaugment", 32, ([0.5] * 3, [0.5] * 3))
    torch.manual_seed(0)
    images = torch.stack([transform(Image.fromarray(pixels())) for _ in range(60)])
    assert images.shape == (60, 3, 32, 32)
    # no value of a byte is 0.5, so what is exactly 0 in all channels is the hole
    holes = (images == 0).all(1).flatten(1).sum(1)
    assert holes.max() == 16 * 16
    assert holes.min() >= 8 * 8
    colours = {tuple(sorted(image.unique().tolist())[:3]) for image in images}
    assert len(colours) > 5


def test_rotations_reach_twenty_degrees():
    """A bright pixel of the upper edge's middle stays within 20 degrees of it."""
    image = np.zeros((65, 65, 3), dtype=np.uint8)
    image[2, 31:34] = 255
    transform = small_image_transform("rotate_flip", 65, PLAIN)
    torch.manual_seed(0)
    angles = []
    for _ in range(200):
        rows, columns = np.nonzero(transform(Image.fromarray(image))[0].numpy())
        angles.append(np.degrees(np.arctan2(columns.mean() - 32, 32 - rows.mean())))
    assert 17 < np.abs(angles).max() < 22
    assert min(angles) < -10 < 10 < max(angles)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_augmentation_takes_grey_and_colour(augment, mode):
    channels = len(mode)
    image = Image.fromarray(pixels(side=8)).convert(mode)
    transform = small_image_transform(augment, 24, ([0.5] * channels, [0.5] * channels))
    torch.manual_seed(0)
    for _ in range(30):
        assert transform(image).shape == (channels, 24, 24)


def test_the_middle_of_a_photograph():
    """400 x 300 shrinks to 128 x 96, and the middle 64 x 64 of that is seen."""
    columns = np.linspace(0, 255, 400).astype(np.uint8)
    photograph = Image.fromarray(np.tile(columns[None, :, None], (300, 1, 3)))
    seen = photograph_transform("none", 64, 96, PLAIN)(photograph)
    assert seen.shape == (3, 64, 64)
    middle = np.linspace(0, 1, 128)[32:96]
    np.testing.assert_allclose(seen[0, 30], middle, atol=0.01)


def test_photographs_are_cropped_at_random():
    transform = photograph_transform("crop_flip", 16, 20, PLAIN)
    torch.manual_seed(0)
    first, second = (transform(Image.fromarray(pixels(side=50))) for _ in range(2))
    assert first.shape == second.shape == (3, 16, 16)
    assert not torch.equal(first, second)


def looks(image, transform, count):
    """Transform an image many times."""
    torch.manual_seed(0)
    return torch.stack([transform(Image.fromarray(image)) for _ in range(count)])


def test_spikformers_erasing_is_one_rectangle_of_the_mean_colour():
    """No byte is 0.5 after the division by 255, so that what is exactly 0 was erased."""
    transform = small_image_transform("spikformer", 32, ([0.5] * 3, [0.5] * 3))
    erased = (looks(pixels(), transform, 1_000) == 0).all(1)
    touched = erased.flatten(1).any(1)
    assert touched.sum() == pytest.approx(250, abs=40)
    shares = []
    for hole in erased[touched]:
        rows, columns = int(hole.any(1).sum()), int(hole.any(0).sum())
        assert hole.sum() == rows * columns
        shares.append(rows * columns / 32**2)
    # an area from 2 % to a third; sides are rounded to whole pixels
    assert 0.01 < min(shares) < 0.05
    assert 0.3 < max(shares) < 0.36


def test_spikformer_leaves_half_of_the_small_images_uncropped():
    """And erases a quarter of those: three eighths are as they were, or mirrored."""
    image = pixels()
    seen = (looks(image, small_image_transform("spikformer", 32, PLAIN), 1_000) * 255).round()
    as_it_was = torch.from_numpy(image).permute(2, 0, 1)
    same = [int((seen == one).flatten(1).all(1).sum()) for one in (as_it_was, as_it_was.flip(-1))]
    assert sum(same) == pytest.approx(1_000 * 0.5 * 0.75, abs=50)
    assert min(same) > 140


def test_spikformer_squeezes_a_photograph_and_may_leave_it():
    """Two operations, each with probability one half: a quarter are as they were, or mirrored."""
    image = np.tile(pixels(side=300), (1, 2, 1))[:, :400]
    squeezed = Image.fromarray(image).resize((64, 64), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.asarray(squeezed).transpose(2, 0, 1).copy())
    transform = photograph_transform("spikformer", 64, 64, PLAIN)
    seen = (looks(image, transform, 400) * 255).round()
    assert seen.shape == (400, 3, 64, 64)
    same = [int((seen == one).flatten(1).all(1).sum()) for one in (expected, expected.flip(-1))]
    assert sum(same) == pytest.approx(400 * 0.75 * 0.25, abs=30)
    assert min(same) > 15


def test_photographs_change_their_colours_too():
    """What moves nothing, of 14 operations nine, is among what is drawn."""
    flat = np.full((30, 40, 3), (200, 120, 60), dtype=np.uint8)
    transform = photograph_transform("spikformer", 16, 16, PLAIN)
    colours = {
        tuple((image[:, 8, 8] * 255).int().tolist()) for image in looks(flat, transform, 300)
    }
    assert len(colours) > 20


def test_only_torch_draws():
    transform = photograph_transform("spikformer", 16, 20, PLAIN)
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(torch.stack([transform(Image.fromarray(pixels())) for _ in range(8)]))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_a_cutout_counts_as_many_as_its_place_says(monkeypatch):
    for row, column, hole in ((0, 0, 2 * 2), (5, 5, 4 * 4), (9, 4, 3 * 4)):
        places = iter((row, column))
        monkeypatch.setattr(torch, "randint", lambda *_, places=places: torch.tensor(next(places)))
        cut = Cutout(4)(torch.ones(2, 10, 10))
        assert (cut == 0).sum() == 2 * hole
        assert cut[0, row, column] == 0


@pytest.mark.parametrize("build", [small_image_transform, photograph_transform])
def test_an_unknown_augmentation_is_named(build):
    with pytest.raises(ArgumentError, match=r"^augment='mixup' is not allowed: give 'none' or"):
        build(*("mixup", 32, PLAIN) if build is small_image_transform else ("mixup", 32, 36, PLAIN))
