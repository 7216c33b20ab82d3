"""Geometric augmentation of recordings, the same for all frames of a recording."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode, RandomErasing
from torchvision.transforms.functional import affine

from qsnn_plugins.data.checks import acute_angle, at_least, one_of, probability
from qsnn_plugins.data.image_transforms import Cutout

AUGMENTATIONS = ("none", "nda", "spikformer")

_STEPS = 31


class _FlipAndOneMove(nn.Module):
    """Flips a recording with probability `flip`, then does one of `choices`, each as likely."""

    choices: tuple[Callable[[Tensor], Tensor], ...]

    def __init__(self, flip: float) -> None:
        super().__init__()
        self.flip = probability("flip", flip)

    def forward(self, frames: Tensor) -> Tensor:
        """Return frames [T, C, H, W], moved."""
        if torch.rand(()) < self.flip:
            frames = frames.flip(-1)
        return self.choices[int(torch.randint(len(self.choices), ()))](frames)


class NeuromorphicAugmentation(_FlipAndOneMove):
    """NDA (Li et al., ECCV 2022), which Q-SNN uses for CIFAR10-DVS.

    A recording is flipped left to right with probability `flip`. Then one of four operations, with
    equal probabilities, is applied to all frames in the same way: a roll by up to `roll` pixels
    along both axes, a rotation by up to `degrees`, a shear along the rows by up to `degrees`, or a
    cutout of a square of `cutout` pixels. Pixels get the value of their nearest neighbour, so
    binary frames stay binary.

    The authors' loader rolls by up to 5, rotates and shears by up to 30 degrees for CIFAR10-DVS,
    and by up to 3 and 15 for N-Caltech101. Flip and cutout are in the paper but not in that loader;
    the side of the cutout is our choice. Set `flip` to 0 if left and right have a meaning, as for
    gestures and digits.

    Args:
        flip: Probability of a flip.
        roll: Largest roll in pixels.
        degrees: Largest rotation and shear in degrees, below 90.
        cutout: Side of the cutout in pixels.

    Raises:
        ArgumentError: A setting is out of its range.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> frames = torch.ones(10, 2, 48, 48, dtype=torch.uint8)
        >>> moved = NeuromorphicAugmentation()(frames)
        >>> moved.shape, moved.dtype, bool((moved == moved[:1, :1]).all())
        (torch.Size([10, 2, 48, 48]), torch.uint8, True)
    """

    def __init__(
        self, flip: float = 0.5, roll: int = 5, degrees: float = 30.0, cutout: int = 16
    ) -> None:
        super().__init__(flip)
        self.roll = at_least("roll", roll, 0)
        self.degrees = acute_angle("degrees", degrees)
        self.cutout = Cutout(at_least("cutout", cutout, 1))
        self.choices = (self._roll, self._rotate, self._shear, self.cutout)

    def _roll(self, frames: Tensor) -> Tensor:
        down, right = torch.randint(-self.roll, self.roll + 1, (2,)).tolist()
        return frames.roll((down, right), dims=(-2, -1))

    def _rotate(self, frames: Tensor) -> Tensor:
        return _move(frames, angle=self._angle(), shear=0.0)

    def _shear(self, frames: Tensor) -> Tensor:
        return _move(frames, angle=0.0, shear=self._angle())

    def _angle(self) -> float:
        return float((2 * torch.rand(()) - 1) * self.degrees)


class SpikformerAugmentation(_FlipAndOneMove):
    """Augmentation of Spikformer's loader for CIFAR10-DVS, after TrivialAugment.

    A recording is flipped left to right with probability `flip`. Then one of six operations, with
    equal probabilities, is applied to all frames in the same way: nothing, a shear along the rows,
    a shift along the rows, a shift along the columns, a rotation, or a square of zeros over 0.1 to
    11 % of the frame. The strength is one of 31 equally spaced values between both extremes; of
    shifts, fractions of a pixel are cut off. Pixels get the value of their nearest neighbour, and
    pixels from outside the frame are 0.

    The loader's frames have 128 x 128 pixels; `shift` is not scaled for other sizes. Set `flip` to
    0 if left and right have a meaning, as for gestures and digits.

    Args:
        flip: Probability of a flip.
        shear: Largest shear in degrees, below 90; the loader's is 0.3 radians.
        shift: Largest shift in pixels.
        degrees: Largest rotation in degrees, below 90.

    Raises:
        ArgumentError: A setting is out of its range.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> frames = torch.ones(10, 2, 48, 48, dtype=torch.uint8)
        >>> moved = SpikformerAugmentation()(frames)
        >>> moved.shape, moved.dtype, bool((moved == moved[:1, :1]).all())
        (torch.Size([10, 2, 48, 48]), torch.uint8, True)
    """

    def __init__(
        self,
        flip: float = 0.5,
        shear: float = math.degrees(0.3),
        shift: int = 5,
        degrees: float = 30.0,
    ) -> None:
        super().__init__(flip)
        self.shear = acute_angle("shear", shear)
        self.shift = at_least("shift", shift, 0)
        self.degrees = acute_angle("degrees", degrees)
        self.cutout = RandomErasing(p=1.0, scale=(0.001, 0.11), ratio=(1.0, 1.0))
        self.choices = (
            nn.Identity(),
            self._shear,
            self._shift_right,
            self._shift_down,
            self._rotate,
            self.cutout,
        )

    def _shear(self, frames: Tensor) -> Tensor:
        return _move(frames, shear=_one_of_31(self.shear))

    def _shift_right(self, frames: Tensor) -> Tensor:
        return _move(frames, right=int(_one_of_31(self.shift)))

    def _shift_down(self, frames: Tensor) -> Tensor:
        return _move(frames, down=int(_one_of_31(self.shift)))

    def _rotate(self, frames: Tensor) -> Tensor:
        return _move(frames, angle=_one_of_31(self.degrees))


def frame_augmentation(augment: str, nda: NeuromorphicAugmentation) -> nn.Module | None:
    """Return the augmentation that `augment` names.

    Args:
        augment: "none"; "nda"; "spikformer", with the flip of `nda`.
        nda: The settings of "nda" for the data set.

    Raises:
        ArgumentError: It names none.

    Example:
        >>> frame_augmentation("none", NeuromorphicAugmentation()) is None
        True
        >>> frame_augmentation("spikformer", NeuromorphicAugmentation(flip=0.0)).flip
        0.0
    """
    if one_of("augment", augment, AUGMENTATIONS) == "spikformer":
        return SpikformerAugmentation(flip=nda.flip)
    return nda if augment == "nda" else None


def _one_of_31(largest: float) -> float:
    """Return one of 31 evenly spaced numbers from -largest to largest."""
    # one division, the last: whole numbers stay whole
    return largest * (2 * int(torch.randint(_STEPS, ())) - (_STEPS - 1)) / (_STEPS - 1)


def _move(
    frames: Tensor, angle: float = 0.0, right: int = 0, down: int = 0, shear: float = 0.0
) -> Tensor:
    return affine(frames, angle, [right, down], 1.0, [shear, 0.0], InterpolationMode.NEAREST)
