"""What Spikformer's training does with recordings of an event camera."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode, RandomErasing
from torchvision.transforms.functional import affine

from qsnn_plugins.data.checks import acute_angle, at_least, probability

_STEPS = 31


class SpikformerAugmentation(nn.Module):
    """Augmentation of Spikformer's loader for CIFAR10-DVS, after TrivialAugment.

    A recording is flipped left to right with probability `flip`. Then one of six, each as likely,
    is done to all of its frames alike: nothing, a shear along the rows, a shift along the rows, a
    shift along the columns, a rotation, or a square of zeros over 0.1 to 11 % of the frame. How far
    is one of 31 evenly spaced values from one end to the other; shifts are cut to whole pixels.
    Pixels take their nearest neighbour's count, and what comes in from outside is empty.

    The loader's frames have 128 x 128 pixels; `shift` is not scaled for others. Where left and
    right have a meaning, as of gestures and digits, `flip` has to be 0.

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
        super().__init__()
        self.flip = probability("flip", flip)
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

    def forward(self, frames: Tensor) -> Tensor:
        """Return frames [T, C, H, W], moved."""
        if torch.rand(()) < self.flip:
            frames = frames.flip(-1)
        return self.choices[int(torch.randint(len(self.choices), ()))](frames)

    def _shear(self, frames: Tensor) -> Tensor:
        return _move(frames, shear=self.shear * _share())

    def _shift_right(self, frames: Tensor) -> Tensor:
        return _move(frames, right=int(self.shift * _share()))

    def _shift_down(self, frames: Tensor) -> Tensor:
        return _move(frames, down=int(self.shift * _share()))

    def _rotate(self, frames: Tensor) -> Tensor:
        return _move(frames, angle=self.degrees * _share())


def _share() -> float:
    """Return one of 31 evenly spaced numbers from -1 to 1."""
    return 2 * int(torch.randint(_STEPS, ())) / (_STEPS - 1) - 1


def _move(
    frames: Tensor, angle: float = 0.0, right: int = 0, down: int = 0, shear: float = 0.0
) -> Tensor:
    return affine(frames, angle, [right, down], 1.0, [shear, 0.0], InterpolationMode.NEAREST)
