"""Augmentation of recordings: geometry alone, the same for all frames of a recording."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import affine

from qsnn_plugins.data.checks import acute_angle, at_least, one_of, probability
from qsnn_plugins.data.image_transforms import Cutout
from qsnn_plugins.data.spikformer_augmentation import SpikformerAugmentation

AUGMENTATIONS = ("none", "nda", "spikformer")


class NeuromorphicAugmentation(nn.Module):
    """NDA (Li et al., ECCV 2022), which Q-SNN uses for CIFAR10-DVS.

    A recording is flipped left to right with probability `flip`. Then one of four, each as likely,
    moves all of its frames in the same way: a roll by up to `roll` pixels along both axes, a
    rotation by up to `degrees`, a shear along the rows by up to `degrees`, or a cutout of a square
    of `cutout` pixels. Pixels take their nearest neighbour's count, so binary frames stay binary.

    The authors' loader rolls by up to 5, rotates and shears by up to 30 degrees for CIFAR10-DVS,
    and by up to 3 and 15 for N-Caltech101. Flip and cutout are of the paper's family and not in
    that loader; the cutout's side is ours. Where left and right have a meaning, as of gestures and
    digits, `flip` has to be 0.

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
        super().__init__()
        self.flip = probability("flip", flip)
        self.roll = at_least("roll", roll, 0)
        self.degrees = acute_angle("degrees", degrees)
        self.cutout = Cutout(at_least("cutout", cutout, 1))
        self.choices = (self._roll, self._rotate, self._shear, self.cutout)

    def forward(self, frames: Tensor) -> Tensor:
        """Return frames [T, C, H, W], moved."""
        if torch.rand(()) < self.flip:
            frames = frames.flip(-1)
        return self.choices[int(torch.randint(len(self.choices), ()))](frames)

    def _roll(self, frames: Tensor) -> Tensor:
        down, right = torch.randint(-self.roll, self.roll + 1, (2,)).tolist()
        return frames.roll((down, right), dims=(-2, -1))

    def _rotate(self, frames: Tensor) -> Tensor:
        return _move(frames, angle=self._angle(), shear=0.0)

    def _shear(self, frames: Tensor) -> Tensor:
        return _move(frames, angle=0.0, shear=self._angle())

    def _angle(self) -> float:
        return float((2 * torch.rand(()) - 1) * self.degrees)


def frame_augmentation(augment: str, nda: NeuromorphicAugmentation) -> nn.Module | None:
    """Return the augmentation that `augment` names.

    Args:
        augment: "none"; "nda"; "spikformer", with the flip of `nda`.
        nda: What "nda" means for the data set.

    Raises:
        ArgumentError: It names none.

    Example:
        >>> frame_augmentation("none", NeuromorphicAugmentation()) is None
        True
        >>> frame_augmentation("spikformer", NeuromorphicAugmentation(flip=0)).flip
        0
    """
    if one_of("augment", augment, AUGMENTATIONS) == "spikformer":
        return SpikformerAugmentation(flip=nda.flip)
    return nda if augment == "nda" else None


def _move(frames: Tensor, angle: float, shear: float) -> Tensor:
    return affine(frames, angle, [0, 0], 1.0, [shear, 0.0], InterpolationMode.NEAREST)
