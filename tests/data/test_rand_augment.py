"""GaussianRandAugment against Pillow and torchvision called directly."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from qsnn_plugins.data import GaussianRandAugment
from qsnn_plugins.data.rand_augment import OPERATIONS
from qsnn_plugins.errors import ArgumentError

from torchvision.transforms import RandAugment  # isort: skip  (only after torchvision's operators are registered)

FILL = (10, 20, 30)
BICUBIC = Image.Resampling.BICUBIC


def picture(seed=0, side=(40, 32), mode="RGB"):
    values = np.random.default_rng(seed).integers(0, 256, (*side[::-1], 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def moved(image, *matrix):
    affine = Image.Transform.AFFINE
    return image.transform(image.size, affine, matrix, BICUBIC, fillcolor=FILL)


# at magnitude 9 of 10, on an image 40 pixels wide and 32 high
EXPECTED = {
    "ShearX": lambda image, sign: moved(image, 1, sign * 0.27, 0, 0, 1, 0),
    "ShearY": lambda image, sign: moved(image, 1, 0, 0, sign * 0.27, 1, 0),
    "TranslateX": lambda image, sign: moved(image, 1, 0, sign * 16, 0, 1, 0),
    "TranslateY": lambda image, sign: moved(image, 1, 0, 0, 0, 1, sign * 12),
    "Rotate": lambda image, sign: image.rotate(sign * 27, BICUBIC, fillcolor=FILL),
    "Brightness": lambda image, sign: ImageEnhance.Brightness(image).enhance(1 + sign * 0.81),
    "Color": lambda image, sign: ImageEnhance.Color(image).enhance(1 + sign * 0.81),
    "Contrast": lambda image, sign: ImageEnhance.Contrast(image).enhance(1 + sign * 0.81),
    "Sharpness": lambda image, sign: ImageEnhance.Sharpness(image).enhance(1 + sign * 0.81),
    "Posterize": lambda image, _: ImageOps.posterize(image, 1),
    "Solarize": lambda image, _: ImageOps.solarize(image, 256 - 230),
    "AutoContrast": lambda image, _: ImageOps.autocontrast(image),
    "Equalize": lambda image, _: ImageOps.equalize(image),
    "Invert": lambda image, _: ImageOps.invert(image),
}


def test_every_operation_is_compared():
    assert set(EXPECTED) == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_pillows(name):
    torch.manual_seed(0)
    image = picture()
    augment = GaussianRandAugment(9, spread=0, operations=(name,), fill=list(FILL))
    possible = {EXPECTED[name](image, sign).tobytes() for sign in (-1, 1)}
    seen = {augment(image).tobytes() for _ in range(20)}
    # a shear or a turn is computed twice, and a pixel may round otherwise
    for one in seen - possible:
        apart = [differing(one, other) for other in possible]
        assert min(apart) < 0.02 < max(apart)
    assert len(seen) == (2 if name in OPERATIONS[:9] else 1)


def differing(one, other):
    """Share of the bytes that differ by more than rounding."""
    one, other = (np.frombuffer(part, np.uint8).astype(int) for part in (one, other))
    return (np.abs(one - other) > 2).mean()


def test_torchvisions_own_magnitude_moves_a_third_as_far():
    torch.manual_seed(0)
    (theirs, _) = RandAugment(magnitude=9)._augmentation_space(31, (32, 32))["Rotate"]
    ((ours, _),) = GaussianRandAugment(9, 0, ("Rotate",))._augmentation_space(31, (32, 32)).values()
    assert (float(theirs[9]), float(ours[0])) == pytest.approx((9, 27))


def test_magnitudes_are_normal_up_to_ten():
    torch.manual_seed(0)
    augment = GaussianRandAugment(9, 0.5, ("Rotate",))
    drawn = [float(augment._augmentation_space(0, (8, 8))["Rotate"][0]) / 3 for _ in range(4_000)]
    assert max(drawn) == 10
    assert np.median(drawn) == pytest.approx(9, abs=0.03)
    low, high = np.quantile(drawn, [0.1587, 0.8413])  # one standard deviation to each side
    assert (low, high) == pytest.approx((8.5, 9.5), abs=0.05)


def test_operations_are_equally_likely():
    torch.manual_seed(0)
    image = Image.linear_gradient("L").resize((8, 8))
    names = ("Invert", "Posterize", "Rotate")
    results = {name: GaussianRandAugment(9, 0, (name,), [7]) for name in names[:2]}
    known = {augment(image).tobytes(): name for name, augment in results.items()}
    augment = GaussianRandAugment(9, 0, names, [7])
    counts = Counter(known.get(augment(image).tobytes(), "Rotate") for _ in range(600))
    assert min(counts.values()) > 150


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("magnitude", [0, 10])
def test_the_ends_of_the_scale_are_reached(mode, magnitude):
    torch.manual_seed(0)
    fill = [5.0] * len(mode)
    for name in OPERATIONS:
        image = picture(mode=mode)
        seen = GaussianRandAugment(magnitude, 0, (name,), fill)(image)
        assert (seen.size, seen.mode) == (image.size, mode)
        tones = ("Posterize", "AutoContrast", "Equalize", "Invert")
        if magnitude == 0 and name not in tones:
            assert seen.tobytes() == image.tobytes(), name


@pytest.mark.parametrize(
    ("argument", "value"),
    [("magnitude", 11), ("spread", -1.0), ("operations", ()), ("operations", ("Sheer",))],
)
def test_bad_settings_are_named(argument, value):
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        GaussianRandAugment(**{argument: value})
