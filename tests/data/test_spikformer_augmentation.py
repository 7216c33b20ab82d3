"""SpikformerAugmentation against numpy and closed forms."""

import math
import pickle

import numpy as np
import pytest
import torch

from qsnn_plugins.data import NCars, SpikformerAugmentation
from qsnn_plugins.data.frame_augmentation import _one_of_31, frame_augmentation
from qsnn_plugins.errors import ArgumentError

from .test_frame_augmentation import recording, still

from torchvision.transforms.functional import rotate  # isort: skip  (after torchvision is mended)

KINDS = ("identity", "_shear", "_shift_right", "_shift_down", "_rotate", "cutout")


def only(kind, **settings):
    """Return an augmentation that always takes one of its six."""
    augmentation = SpikformerAugmentation(**{"flip": 0} | settings)
    augmentation.choices = (augmentation.choices[KINDS.index(kind)],)
    return augmentation


def test_all_frames_move_alike():
    torch.manual_seed(0)
    augmentation = SpikformerAugmentation()
    changed = 0
    for _ in range(60):
        moved = augmentation(still())
        assert torch.equal(moved, moved[:1, :1].expand_as(moved))
        changed += not torch.equal(moved, still())
    assert 35 < changed < 60


@pytest.mark.parametrize("kind", KINDS)
def test_counts_stay_counts(kind):
    torch.manual_seed(0)
    frames = 200 * recording(high=2)
    for _ in range(20):
        moved = only(kind)(frames)
        assert (moved.dtype, moved.shape) == (torch.uint8, frames.shape)
        assert set(moved.unique().tolist()) <= {0, 200}


def shifted(frames, distance, axis):
    """Shift in numpy; zeros come in."""
    moved = np.roll(frames, distance, axis)
    come_in = slice(0, distance) if distance > 0 else slice(moved.shape[axis] + distance, None)
    moved[tuple(come_in if i == axis else slice(None) for i in range(4))] = 0
    return moved if distance else np.array(frames)


@pytest.mark.parametrize(("kind", "axis"), [("_shift_right", 3), ("_shift_down", 2)])
def test_a_shift_is_numpys_and_as_long_as_allowed(kind, axis):
    torch.manual_seed(0)
    frames, seen = recording(shape=(2, 2, 12, 14)), []
    for _ in range(300):
        moved = only(kind, shift=3)(frames).numpy()
        (distance,) = (d for d in range(-3, 4) if (shifted(frames.numpy(), d, axis) == moved).all())
        seen.append(distance)
    assert set(seen) == set(range(-3, 4))
    assert seen.count(0) > seen.count(1) > seen.count(3)  # cut to whole pixels, the ends are rare


def test_a_rotation_is_torchvisions_by_one_of_31_angles():
    torch.manual_seed(0)
    frames = recording(shape=(2, 2, 24, 24))
    angles = np.linspace(-30, 30, 31)
    known = {rotate(frames, float(angle)).numpy().tobytes(): angle for angle in angles}
    seen = {known[only("_rotate")(frames).numpy().tobytes()] for _ in range(400)}
    assert min(seen) == -30
    assert max(seen) == 30


def test_a_shear_shifts_rows_by_their_distance_from_the_middle():
    """By up to 45 degrees a row at distance d from the middle shifts by up to d."""
    torch.manual_seed(0)
    frames = torch.zeros(1, 1, 21, 21, dtype=torch.uint8)
    frames[..., 10] = 1
    reached = set()
    for _ in range(200):
        sheared = only("_shear", shear=45.0)(frames)[0, 0]
        columns = sheared.int().argmax(1)
        slopes = [(int(c) - 10) / (r - 10) for r, c in enumerate(columns) if r != 10]
        assert sheared.sum(1).eq(1).all()
        assert np.ptp(slopes) < 0.6  # one slope, but for rounding near the middle
        reached.add(int(columns[0]) - 10)
    assert min(reached) == -10
    assert max(reached) == 10


def test_the_loaders_shear_is_three_tenths_of_a_radian():
    assert SpikformerAugmentation().shear == pytest.approx(math.degrees(0.3))


def test_a_cutout_is_a_square_of_up_to_eleven_percent():
    torch.manual_seed(0)
    ones = torch.ones(3, 2, 48, 48, dtype=torch.uint8)
    sides = set()
    for _ in range(300):
        cut = only("cutout")(ones)[0, 0]
        rows, columns = (int((cut == 0).any(axis).sum()) for axis in (0, 1))
        assert rows == columns == math.isqrt(int((cut == 0).sum()))
        sides.add(rows)
    assert max(sides) == 16  # 11 % of 48 x 48 are 253 pixels
    assert min(sides) < 5


@pytest.mark.parametrize("largest", [1, 5])
def test_strengths_are_even(largest):
    torch.manual_seed(0)
    drawn = sorted({_one_of_31(largest) for _ in range(1_000)})
    np.testing.assert_allclose(drawn, np.linspace(-largest, largest, 31), atol=1e-12)
    assert [-each for each in reversed(drawn)] == drawn, "as far to the left as to the right"
    assert {*range(-largest, largest + 1)} <= {*drawn}, "whole pixels are whole"


def test_the_six_are_equally_likely():
    torch.manual_seed(0)
    augmentation, counts = SpikformerAugmentation(flip=0), [0] * 6
    augmentation.choices = tuple(
        lambda frames, kind=kind: counts.__setitem__(kind, counts[kind] + 1) or frames
        for kind in range(6)
    )
    for _ in range(1_200):
        augmentation(torch.zeros(1, 1, 2, 2))
    assert min(counts) > 150
    assert max(counts) < 250


@pytest.mark.parametrize("flip", [0.0, 0.5, 1.0])
def test_a_flip_is_as_likely_as_asked_for(flip):
    torch.manual_seed(0)
    frames = recording(shape=(1, 1, 4, 4))
    augmentation = only("identity", flip=flip)
    flipped = sum(torch.equal(augmentation(frames), frames.flip(-1)) for _ in range(400))
    assert flipped == pytest.approx(400 * flip, abs=40 if flip == 0.5 else 0)


def test_a_data_set_says_whether_left_and_right_have_a_meaning():
    from qsnn_plugins.data import NMNIST, DVS128Gesture

    assert NCars(augment="spikformer").augmentation.flip == 0.5
    for kind in (NMNIST, DVS128Gesture):
        augmentation = kind(augment="spikformer").augmentation
        assert isinstance(augmentation, SpikformerAugmentation)
        assert augmentation.flip == 0


def test_workers_can_be_sent_it():
    augmentation = pickle.loads(pickle.dumps(SpikformerAugmentation()))
    for again in (augmentation, SpikformerAugmentation()):
        torch.manual_seed(4)
        last = [again(recording()) for _ in range(6)]
        if again is augmentation:
            first = last
    assert all(torch.equal(a, b) for a, b in zip(first, last, strict=True))


def test_an_unknown_name_is_refused():
    with pytest.raises(ArgumentError, match=r"'none' or 'nda' or 'spikformer'$"):
        frame_augmentation("trivial", None)


@pytest.mark.parametrize(
    ("argument", "value"), [("flip", -0.5), ("shear", 90), ("shift", -1), ("degrees", 90)]
)
def test_bad_settings_are_named(argument, value):
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        SpikformerAugmentation(**{argument: value})
