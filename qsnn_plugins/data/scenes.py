"""Drawn traffic scenes: cars and pedestrians before a cluttered background, with boxes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qsnn_plugins.data.checks import interval
from qsnn_plugins.errors import ArgumentError

CLASSES = ("car", "pedestrian")

_CLUTTER = (6, 12)  # rectangles in the background, from and to
_TRIES = 20  # places tried for an object before it is given up
_MOST_OVERLAP = 0.3  # of a new object's box with those before it, by its own area
_LEAST_VISIBLE = 0.6  # of an object's box that lies in the frame at the end

# Parts of an object within its box: left, top, right, bottom from 0 to 1, and shade. The shade 0 is
# the object's own, 1 the opposite one; legs come last and swing.
_PARTS = {
    "car": (
        (0.15, 0.0, 0.85, 0.5, 0.0),
        (0.25, 0.1, 0.75, 0.42, 0.6),
        (0.0, 0.42, 1.0, 0.85, 0.0),
        (0.08, 0.7, 0.3, 1.0, 0.9),
        (0.7, 0.7, 0.92, 1.0, 0.9),
    ),
    "pedestrian": (
        (0.3, 0.0, 0.7, 0.2, 0.5),
        (0.12, 0.2, 0.88, 0.6, 0.0),
        (0.15, 0.6, 0.45, 1.0, 0.3),
        (0.55, 0.6, 0.85, 1.0, 0.3),
    ),
}


@dataclass(frozen=True)
class SceneStyle:
    """Number, size and speed of objects, in pixels of the frame.

    Args:
        objects: Smallest and largest number of objects per scene.
        car: Smallest and largest height of cars, which are 1.7 to 2.2 times as wide.
        pedestrian: Smallest and largest height of pedestrians, which are 0.4 to 0.5 times as wide.
        travel: Smallest and largest distance that an object moves during a recording.

    Raises:
        ArgumentError: An interval is not two numbers from 0 on in their order.

    Example:
        >>> SceneStyle(objects=(2, 2)).car
        (8.0, 16.0)
    """

    objects: tuple[int, int] = (1, 3)
    car: tuple[float, float] = (8.0, 16.0)
    pedestrian: tuple[float, float] = (14.0, 28.0)
    travel: tuple[float, float] = (4.0, 10.0)

    def __post_init__(self) -> None:
        interval("objects", self.objects, whole=True)
        for name in ("car", "pedestrian", "travel"):
            interval(name, getattr(self, name))
        for name in ("car", "pedestrian"):
            if not getattr(self, name)[0] > 0:
                raise ArgumentError(name, getattr(self, name), "heights above 0")


@dataclass
class Scene:
    """Rectangles that move straight on, painted one over the other, and the boxes of the objects.

    Args:
        shape: (H, W) of the frame in pixels.
        sky: Intensity at the top and at the bottom, from 0 to 1.
        rectangles: Left, top, right, bottom at the start, how far they move right and down, and
            intensity: shape [R, 7].
        boxes: Of each object at the end, within the frame: (left, top, right, bottom), [M, 4].
        labels: Indices into `CLASSES`, [M].
    """

    shape: tuple[int, int]
    sky: tuple[float, float]
    rectangles: list[tuple[float, ...]] = field(default_factory=list)
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def intensity(self, when: NDArray[np.float64]) -> NDArray[np.float32]:
        """Paint the scene at times from 0 (start) to 1 (end): intensities [S, H, W].

        A pixel that a rectangle covers in part takes the share that it covers.
        """
        height, width = self.shape
        sky = np.linspace(*self.sky, height, dtype=np.float32)
        frames = np.broadcast_to(sky[:, None], (len(when), height, width)).copy()
        if not self.rectangles:
            return frames
        left, top, right, bottom, across, down, shades = np.array(self.rectangles).T[:, :, None]
        x = _covered(left + across * when, right + across * when, width)
        y = _covered(top + down * when, bottom + down * when, height)
        for share_x, share_y, shade in zip(x, y, shades.astype(np.float32), strict=True):
            columns, rows = _touched(share_x), _touched(share_y)
            part = frames[:, rows, columns]
            part += share_y[:, rows, None] * share_x[:, None, columns] * (shade - part)
        return frames


def draw_scene(
    random: np.random.Generator, shape: tuple[int, int], style: SceneStyle | None = None
) -> Scene:
    """Draw a scene: clutter first, then the objects over it.

    Clutter moves with the camera, the more the nearer it is; objects have a movement of their own.
    Objects hide one another by 30 % of their boxes at most.

    Args:
        random: What it is drawn with.
        shape: (H, W) of the frame in pixels.
        style: How busy it is.

    Returns:
        The scene; it has fewer objects than were drawn where there is no room for them.

    Example:
        >>> scene = draw_scene(np.random.default_rng(0), (48, 64), SceneStyle(objects=(2, 2)))
        >>> len(scene.boxes), len(scene.labels), scene.intensity(np.linspace(0, 1, 5)).shape
        (2, 2, (5, 48, 64))
    """
    style = style or SceneStyle()
    height, width = shape
    dark, bright = random.uniform(0.1, 0.4), random.uniform(0.5, 0.9)
    scene = Scene(shape, (bright, dark) if random.random() < 0.7 else (dark, bright))
    pan = random.uniform(-6, 6), random.uniform(-1, 1)
    for _ in range(random.integers(*_CLUTTER)):
        near = random.uniform(0.2, 1.0)
        w, h = random.uniform(2, width / 3), random.uniform(2, height / 2)
        left, top = random.uniform(-w / 2, width), random.uniform(-h / 2, height)
        movement = near * pan[0], near * pan[1], random.uniform(0.0, 1.0)
        scene.rectangles.append((left, top, left + w, top + h, *movement))
    for _ in range(random.integers(style.objects[0], style.objects[1] + 1)):
        _add_object(scene, random, style)
    return scene


def _add_object(scene: Scene, random: np.random.Generator, style: SceneStyle) -> None:
    label = int(random.integers(len(CLASSES)))
    name = CLASSES[label]
    height = random.uniform(*getattr(style, name))
    width = height * (random.uniform(1.7, 2.2) if name == "car" else random.uniform(0.4, 0.5))
    travel = random.uniform(*style.travel) * random.choice((-1, 1))
    down = random.uniform(-1, 1)
    own = random.uniform(0.0, 0.25) if random.random() < 0.5 else random.uniform(0.75, 1.0)
    other = 1 - own
    for _ in range(_TRIES):
        left = random.uniform(-0.3 * width, scene.shape[1] - 0.7 * width)
        top = random.uniform(-0.1 * height, scene.shape[0] - 0.9 * height)
        box = _clip((left, top, left + width, top + height), scene.shape)
        if _area(box) < _LEAST_VISIBLE * width * height:
            continue
        if all(_shared(box, known) <= _MOST_OVERLAP for known in scene.boxes):
            break
    else:
        return
    parts = _PARTS[name]
    for number, (a, b, c, d, tone) in enumerate(parts):
        # a leg swings, and stands within the box at the end
        legs = name == "pedestrian" and number >= len(parts) - 2
        swing = width * 0.4 * (-1) ** number if legs else 0.0
        start = left - travel - swing, top - down
        edges = (
            start[0] + a * width,
            start[1] + b * height,
            start[0] + c * width,
            start[1] + d * height,
        )
        shade = own + tone * (other - own)
        scene.rectangles.append((*edges, travel + swing, down, shade))
    scene.boxes.append(box)
    scene.labels.append(label)


def _covered(low: NDArray[np.float64], high: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """Share of each of `size` pixels that intervals [R, S] cover, [R, S, size]."""
    edge = np.arange(size)
    share = np.minimum(high[..., None], edge + 1) - np.maximum(low[..., None], edge)
    return np.maximum(share, 0.0).astype(np.float32)


def _touched(share: NDArray[np.float32]) -> slice:
    """The pixels that are covered at any time."""
    where = np.flatnonzero(share.any(0))
    return slice(where[0], where[-1] + 1) if len(where) else slice(0, 0)


def _clip(box: tuple[float, ...], shape: tuple[int, int]) -> tuple[float, ...]:
    height, width = shape
    left, top, right, bottom = box
    return max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))


def _area(box: tuple[float, ...]) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _shared(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """The larger share that two boxes have in each other."""
    common = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    return _area(common) / min(_area(a), _area(b))
