"""Pictures of event frames with boxes, so that a person can look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from qsnn_plugins.files import atomic_write

__all__ = ["draw_boxes", "save_picture"]

_BACKGROUND, _OFF, _ON = (255, 255, 255), (70, 130, 220), (220, 60, 60)
_TRUE, _FOUND = (20, 140, 60), (230, 140, 0)
_MIN_SIDE = 320  # pixels of the longer side of a picture


def draw_boxes(
    frames: Tensor,
    true: Iterable[tuple[Sequence[float], str]],
    found: Iterable[tuple[Sequence[float], str]],
) -> list[Image.Image]:
    """Draw each step of a recording: events, true boxes in green, detected boxes in orange.

    Pixels that became brighter are red, those that became darker are blue. Small frames are
    enlarged.

    Args:
        frames: Shape [T, 2, H, W], OFF and ON.
        true: True boxes (left, top, right, bottom) in pixels of the frame, with the text to write
            below each.
        found: Detected boxes, with the text to write above each.

    Returns:
        T pictures.

    Example:
        >>> import torch
        >>> frames = torch.zeros(4, 2, 48, 64, dtype=torch.uint8)
        >>> pictures = draw_boxes(frames, [([4, 4, 20, 12], "car")], [])
        >>> len(pictures), pictures[0].size
        (4, (320, 240))
    """
    true, found = list(true), list(found)
    zoom = max(1, -(-_MIN_SIDE // max(frames.shape[-2:])))
    pictures = []
    for step in frames.cpu().numpy():
        painted = _paint(step).repeat(zoom, axis=0).repeat(zoom, axis=1)
        picture = Image.fromarray(painted)
        pen = ImageDraw.Draw(picture)
        for boxes, colour in ((true, _TRUE), (found, _FOUND)):
            for box, text in boxes:
                left, top, right, bottom = (zoom * float(edge) for edge in box)
                pen.rectangle((left, top, right, bottom), outline=colour, width=2)
                above = top - 11 if colour == _FOUND else bottom + 1
                pen.text((left, min(max(above, 0), picture.height - 11)), text, fill=colour)
        pictures.append(picture)
    return pictures


def save_picture(pictures: Sequence[Image.Image], path: Path) -> None:
    """Write the last of some pictures as a PNG, or all of them as an endless GIF.

    The file is there when all of it is.

    Args:
        pictures: From `draw_boxes`.
        path: A file that ends in .png or .gif.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "scene.gif"
        >>> save_picture([Image.new("RGB", (8, 8), (n, n, n)) for n in (0, 200)], path)
        >>> Image.open(path).n_frames
        2
    """
    with atomic_write(path) as file:
        if path.suffix == ".gif":
            options = {"save_all": True, "append_images": pictures[1:], "duration": 250, "loop": 0}
            pictures[0].save(file, "GIF", **options)
        else:
            pictures[-1].save(file, "PNG")


def _paint(step: NDArray[np.uint8]) -> NDArray[np.uint8]:
    off, on = step[0].astype(int), step[1].astype(int)
    picture = np.empty((*off.shape, 3), dtype=np.uint8)
    picture[:] = _BACKGROUND
    picture[off > on] = _OFF
    picture[(on >= off) & (on > 0)] = _ON
    return picture
