"""Which annotations of a detection data set count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.checks import at_least


@dataclass(frozen=True)
class BoxFilter:
    """Which annotations count, by the benchmark's own rule (Perot et al., 2020).

    Args:
        skip: Annotations up to this time are left out, in microseconds.
        diagonal: Least diagonal of a box in pixels of the sensor.
        side: Least width and height of a box.

    Raises:
        ArgumentError: A setting is below 0.

    Example:
        >>> BoxFilter(diagonal=60, side=20)  # for the camera of one megapixel
        BoxFilter(skip=500000, diagonal=60, side=20)
    """

    skip: int = 500_000
    diagonal: int = 30
    side: int = 10

    def __post_init__(self) -> None:
        for argument in ("skip", "diagonal", "side"):
            at_least(argument, getattr(self, argument), 0)

    def __call__(self, boxes: NDArray[np.void], sensor: tuple[int, int]) -> NDArray[np.void]:
        """Return the boxes [M'] that count, clipped to the sensor of (H, W) pixels."""
        boxes = boxes.copy()
        for low, length, size in (("x", "w", sensor[1]), ("y", "h", sensor[0])):
            end = (boxes[low] + boxes[length]).clip(0, size)
            boxes[low] = boxes[low].clip(0, size)
            boxes[length] = end - boxes[low]
        w, h = boxes["w"], boxes["h"]
        large = (w**2 + h**2 >= self.diagonal**2) & (np.minimum(w, h) >= max(self.side, 1e-6))
        return boxes[large & (boxes["t"] > self.skip)]
