"""NeuromorphicAugmentation against numpy and closed forms."""

import numpy as np
import pytest
import torch

from qsnn_plugins.data import NMNIST, DVS128Gesture, NeuromorphicAugmentation
from qsnn_plugins.data.frame_augmentation import _move
from qsnn_plugins.errors import ArgumentError


def recording(seed=0, shape=(5, 2, 48, 48), high=256):
    values = np.random.default_rng(seed).integers(0, high, shape, dtype=np.uint8)
    return torch.from_numpy(values)


def still(shape=(5, 2, 48, 48)):
    """Return frames that are all alike."""
    return recording(shape=shape[-2:]).expand(shape)


def only(kind, **settings):
    """Return an augmentation that always takes one of its four."""
    augmentation = NeuromorphicAugmentation(**{"flip": 0} | settings)
    (chosen,) = (one for one in augmentation.choices if getattr(one, "__name__", "cutout") == kind)
    augmentation.choices = (chosen,)
    return augmentation


def test_all_frames_move_alike():
    torch.manual_seed(0)
    augmentation = NeuromorphicAugmentation()
    changed = 0
    for _ in range(40):
        moved = augmentation(still())
        assert torch.equal(moved, moved[:1, :1].expand_as(moved))
        changed += not torch.equal(moved, still())
    assert changed > 35


def test_binary_frames_stay_binary_and_keep_their_form():
    torch.manual_seed(0)
    frames = recording(high=2)
    for _ in range(40):
        moved = NeuromorphicAugmentation()(frames)
        assert (moved.dtype, moved.shape) == (torch.uint8, frames.shape)
        assert moved.max() <= 1


@pytest.mark.parametrize("kind", ["_rotate", "_shear"])
def test_pixels_take_their_nearest_neighbours_count(kind):
    torch.manual_seed(0)
    frames = 200 * recording(high=2)
    for _ in range(20):
        assert set(only(kind)(frames).unique().tolist()) <= {0, 200}


def test_a_roll_is_numpys_and_as_long_as_allowed():
    torch.manual_seed(0)
    frames, seen = recording(), set()
    for _ in range(300):
        moved = only("_roll", roll=2)(frames).numpy()
        shifts = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
        (shift,) = (s for s in shifts if (np.roll(frames, s, axis=(2, 3)) == moved).all())
        seen.add(shift)
    assert len(seen) == 25


def test_a_quarter_turn_is_numpys():
    frames = recording()
    turned = _move(frames, angle=90.0, shear=0.0).numpy()
    clockwise = np.rot90(frames.numpy(), k=-1, axes=(2, 3))
    np.testing.assert_array_equal(turned, clockwise)


def test_a_shear_shifts_rows_by_their_distance_from_the_middle():
    """By 45 degrees a row at distance d from the middle shifts by d."""
    frames = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    frames[..., 4] = 1
    sheared = _move(frames, angle=0.0, shear=45.0)[0, 0]
    diagonal = torch.eye(9, dtype=torch.uint8)
    assert torch.equal(sheared, diagonal) or torch.equal(sheared, diagonal.flip(1))


@pytest.mark.parametrize("kind", ["_rotate", "_shear"])
def test_angles_fill_their_range_and_stay_in_it(kind, monkeypatch):
    angles = []
    monkeypatch.setattr(
        "qsnn_plugins.data.frame_augmentation._move",
        lambda frames, angle, shear: angles.append(angle + shear) or frames,
    )
    torch.manual_seed(0)
    augmentation = only(kind, degrees=20)
    for _ in range(300):
        augmentation(recording(shape=(1, 1, 2, 2)))
    assert -20 <= min(angles) < -18
    assert 18 < max(angles) <= 20


def test_a_cutout_is_a_square():
    torch.manual_seed(0)
    ones = torch.ones(3, 2, 48, 48, dtype=torch.uint8)
    holes = [int(48 * 48 - only("cutout", cutout=16)(ones)[0, 0].sum()) for _ in range(100)]
    assert max(holes) == 16 * 16
    assert min(holes) < 16 * 16  # some lie over the border


def test_a_switch_is_no_number():
    with pytest.raises(ArgumentError, match="flip=True is not allowed: give a probability"):
        NeuromorphicAugmentation(flip=True)


def test_a_flip_comes_every_other_time():
    torch.manual_seed(0)
    frames = recording(shape=(1, 1, 4, 4))
    augmentation = NeuromorphicAugmentation(roll=0)
    augmentation.choices = (augmentation._roll,)
    flipped = 0
    for _ in range(400):
        moved = augmentation(frames)
        assert torch.equal(moved, frames) or torch.equal(moved, frames.flip(-1))
        flipped += torch.equal(moved, frames.flip(-1))
    assert 160 < flipped < 240


@pytest.mark.parametrize("kind", [DVS128Gesture, NMNIST])
def test_what_left_and_right_tell_apart_is_not_flipped(kind):
    assert kind(augment="nda").augmentation.flip == 0


@pytest.mark.parametrize(
    ("argument", "value"), [("flip", 1.5), ("roll", -1), ("degrees", 90), ("cutout", 0)]
)
def test_bad_settings_are_named(argument, value):
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        NeuromorphicAugmentation(**{argument: value})
