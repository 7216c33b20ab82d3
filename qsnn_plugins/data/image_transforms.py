"""Transforms of still images: augmentation, resizing, normalization."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.transforms import (
    AutoAugment,
    AutoAugmentPolicy,
    CenterCrop,
    Compose,
    InterpolationMode,
    Normalize,
    RandomApply,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    Resize,
    ToTensor,
)

from qsnn_plugins.data.checks import one_of
from qsnn_plugins.data.rand_augment import CIFAR_OPERATIONS, OPERATIONS, GaussianRandAugment

AUGMENTATIONS = ("none", "crop_flip", "autoaugment", "rotate_flip", "spikformer")
PHOTOGRAPH_AUGMENTATIONS = ("none", "crop_flip", "spikformer")

Statistics = tuple[Sequence[float], Sequence[float]]
"""Means and standard deviations of the channels, of values in [0, 1]."""

# Of the training images, as torchvision's networks are trained with them.
IMAGENET_STATISTICS: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Cutout(nn.Module):
    """Cutout (DeVries and Taylor, 2017): a square of zeros with a random centre.

    Near the border, a part of the square falls outside the image.

    Args:
        side: Side of the square in pixels.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> holes = 4 - Cutout(2)(torch.ones(1, 2, 2)).sum()
        >>> 1 <= holes <= 4
        tensor(True)
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        """Return images [..., H, W] with the same square cut out of all."""
        height, width = images.shape[-2:]
        row, column = (int(torch.randint(size, ())) for size in (height, width))
        above, left = row - self.side // 2, column - self.side // 2
        cut = images.clone()
        cut[..., max(above, 0) : above + self.side, max(left, 0) : left + self.side] = 0
        return cut


def small_image_transform(augment: str, side: int, statistics: Statistics) -> Compose:
    """Return the transform of small images, from PIL to a normalised tensor [C, side, side].

    Args:
        augment: "none"; "crop_flip": a random crop out of the image with an eighth of its side in
            zeros around it (4 pixels of 32), and a flip left to right; "autoaugment": crop and
            flip, AutoAugment's CIFAR-10 policy and a Cutout of half a side (16 pixels of 32), as
            Q-SNN's code has it; "rotate_flip": a rotation by up to 20 degrees and a flip, as
            MINT's code has it for TinyImageNet; "spikformer": a flip, one operation of RandAugment
            and a random erasing, as Spikformer's code has it for CIFAR, without a crop.
        side: Side of the image in pixels; images of another size are resized.
        statistics: Means and standard deviations of the channels, of values in [0, 1].

    Raises:
        ArgumentError: `augment` is unknown.

    Example:
        >>> from PIL import Image
        >>> black = Image.new("RGB", (32, 32))
        >>> transform = small_image_transform("none", 32, ([0.5] * 3, [0.25] * 3))
        >>> transform(black).shape, transform(black).unique()
        (torch.Size([3, 32, 32]), tensor([-2.]))
    """
    one_of("augment", augment, AUGMENTATIONS)
    before: list[nn.Module] = [Resize((side, side))]
    after: list[nn.Module] = []
    if augment in ("crop_flip", "autoaugment"):
        before.append(RandomCrop(side, padding=side // 8))
    if augment == "rotate_flip":
        before.append(RandomRotation(20))
    if augment != "none":
        before.append(RandomHorizontalFlip())
    if augment == "autoaugment":
        before.append(AutoAugment(AutoAugmentPolicy.CIFAR10))
        after.append(Cutout(side // 2))
    if augment == "spikformer":
        before.append(_rand_augment(0.4, CIFAR_OPERATIONS, statistics))
        after.append(_erasing())
    return Compose([*before, ToTensor(), Normalize(*statistics), *after])


def photograph_transform(augment: str, side: int, resize: int, statistics: Statistics) -> Compose:
    """Return the transform of photographs of any size, from PIL to a tensor [C, side, side].

    Args:
        augment: "none": the shorter side becomes `resize` pixels, and the middle is taken;
            "crop_flip": a crop of random size and aspect ratio, and a flip left to right;
            "spikformer": all of the photograph, squeezed into the square, a flip, two operations of
            RandAugment and a random erasing, as Spikformer's code has it.
        side: Side of the crop in pixels.
        resize: Shorter side before the middle is cut out, in pixels.
        statistics: Means and standard deviations of the channels, of values in [0, 1].

    Raises:
        ArgumentError: `augment` is unknown.

    Example:
        >>> from PIL import Image
        >>> photograph = Image.new("RGB", (500, 375))
        >>> photograph_transform("none", 224, 256, ([0.5] * 3, [0.25] * 3))(photograph).shape
        torch.Size([3, 224, 224])
    """
    one_of("augment", augment, PHOTOGRAPH_AUGMENTATIONS)
    after: list[nn.Module] = []
    if augment == "none":
        before: list[nn.Module] = [Resize(resize), CenterCrop(side)]
    elif augment == "crop_flip":
        before = [RandomResizedCrop(side), RandomHorizontalFlip()]
    else:
        # a share of 1 leaves nothing to crop but what is longer than 4 : 3
        whole = RandomResizedCrop(side, (1.0, 1.0), interpolation=InterpolationMode.BICUBIC)
        twice = (_rand_augment(0.5, OPERATIONS, statistics) for _ in range(2))
        before = [whole, RandomHorizontalFlip(), *twice]
        after.append(_erasing())
    return Compose([*before, ToTensor(), Normalize(*statistics), *after])


def _rand_augment(
    spread: float, operations: tuple[str, ...], statistics: Statistics
) -> RandomApply:
    """Return one operation of RandAugment, which timm does to every other image."""
    mean_colour = [float(round(255 * mean)) for mean in statistics[0]]
    return RandomApply([GaussianRandAugment(9.0, spread, operations, mean_colour)], p=0.5)


def _erasing() -> RandomErasing:
    """Return timm's random erasing in its mode "const": one rectangle of the mean colour."""
    return RandomErasing(p=0.25, scale=(0.02, 1 / 3), ratio=(0.3, 1 / 0.3), value=0)
