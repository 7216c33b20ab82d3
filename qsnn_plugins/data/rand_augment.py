"""RandAugment with timm's scale of magnitudes, as in Spikformer's training."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandAugment

from qsnn_plugins.data.checks import one_of
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec.checks import number

_LARGEST = 10.0  # timm counts magnitudes from 0 to 10, torchvision from 0 to 30
_MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
_ENHANCEMENTS = ("Brightness", "Color", "Contrast", "Sharpness")
_TONES = ("Posterize", "Solarize", "AutoContrast", "Equalize", "Invert")

OPERATIONS = (*_MOVES, *_ENHANCEMENTS, *_TONES)
"""All operations, by torchvision's names: timm's but SolarizeAdd, which torchvision lacks."""

CIFAR_OPERATIONS = ("Equalize", "Rotate", "ShearX", "TranslateX", "TranslateY")
"""Those that Spikformer's loader keeps for CIFAR."""


class GaussianRandAugment(RandAugment):
    """RandAugment (Cubuk et al., 2020) of one operation, whose magnitude is drawn.

    One of `operations` is drawn, and a magnitude m from a normal distribution, clipped to 0 to 10:
    timm's `rand-m9-n1-mstd0.5-inc1` where the operation is done with probability one half. At m
    images are sheared by 0.3 m / 10, moved by 0.45 m / 10 of their side, turned by 3 m degrees,
    or enhanced by 1 ± 0.9 m / 10; 4 - floor(4 m / 10) bits are left, at least one, or what is not
    below 256 - floor(256 m / 10) is inverted. torchvision's own magnitude 9 is 3 on this scale.

    Args:
        magnitude: Mean of m.
        spread: Standard deviation of m.
        operations: Names of operations, as in torchvision.
        fill: Grey levels, one per channel, of what comes in from outside; None is black.

    Raises:
        ArgumentError: A setting is out of its range.

    Example:
        >>> from PIL import Image
        >>> _ = torch.manual_seed(0)
        >>> grey = Image.new("L", (32, 32), color=100)
        >>> turn = GaussianRandAugment(operations=("Rotate",), fill=[200])
        >>> sorted(colour for _, colour in turn(grey).getcolors())[-1]
        200
    """

    def __init__(
        self,
        magnitude: float = 9.0,
        spread: float = 0.5,
        operations: tuple[str, ...] = OPERATIONS,
        fill: list[float] | None = None,
    ) -> None:
        number("a number from 0 to 10", lambda m: 0 <= m <= _LARGEST)("magnitude", magnitude)
        number("a finite number from 0", lambda given: given >= 0)("spread", spread)
        if not operations:
            raise ArgumentError("operations", operations, "one name or more")
        for name in operations:
            one_of("operations", name, OPERATIONS)
        # the table below has a single magnitude, which is number 0
        super().__init__(num_ops=1, magnitude=0, interpolation=InterpolationMode.BICUBIC, fill=fill)
        self.mean, self.spread, self.operations = magnitude, spread, operations

    def _augmentation_space(
        self, num_bins: int, image_size: tuple[int, int]
    ) -> dict[str, tuple[Tensor, bool]]:
        """Return magnitude and signedness of each operation; torchvision asks once an image."""
        level = float(torch.normal(self.mean, self.spread, ()).clamp(0, _LARGEST)) / _LARGEST
        height, width = image_size
        sizes = {
            "ShearX": 0.3 * level,
            "ShearY": 0.3 * level,
            "TranslateX": 0.45 * level * width,
            "TranslateY": 0.45 * level * height,
            "Rotate": 30.0 * level,
            "Posterize": max(4 - int(4 * level), 1),  # Pillow takes no 0
            "Solarize": 256 - int(256 * level),
        }
        sizes |= dict.fromkeys(_ENHANCEMENTS, 0.9 * level)
        return {
            name: (
                torch.tensor([sizes.get(name, 0.0)], dtype=torch.float64),
                name not in _TONES,
            )
            for name in self.operations
        }
