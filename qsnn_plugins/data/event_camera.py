"""A simulated event camera that records still images while it moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qsnn_plugins.data.checks import at_least, height_width, positive
from qsnn_plugins.data.frames import EVENT_DTYPE
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec.checks import number

_CHUNK = 64  # images at a time: their working arrays stay in the processor's cache
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, for images with three channels
_FIRED = np.dtype([("n", np.int64), *EVENT_DTYPE.descr])  # an event of image n
_ROUNDING = 1e-9  # a ramp that ends exactly on a threshold does reach it


@dataclass(frozen=True)
class EventCamera:
    """An event camera that records a still image during saccades along a closed polygon.

    N-MNIST was recorded in this way: a camera in front of a screen moved along the three sides of a
    triangle (Orchard et al., 2015). A pixel remembers the logarithm of the intensity at its last
    event, `L_ref`, and fires each time that `L = ln(dark + I)` has moved from it by the contrast
    threshold C (ESIM, Rebecq et al., 2018):

        n = floor(|L - L_ref| / C) events,  L_ref <- L_ref + sign(L - L_ref) n C

    ON (p = True) where it became brighter, OFF where it became darker. L is linear in time within a
    simulation step, so the time of each crossing is interpolated. A subpixel shift of the image is
    interpolated bilinearly; outside the image, its outermost pixels are repeated.

    Args:
        sensor: (H, W) of the camera in pixels, or one side of a square.
        threshold: C, in units of the natural logarithm of intensity.
        mismatch: Standard deviation of C from pixel to pixel, as a fraction of C; drawn once for
            the camera, separately for ON and OFF, and never below a tenth of C.
        dark: Intensity added to I, which is in [0, 1]; it limits the contrast of black.
        saccades: Number of straight movements; the last one returns to the start.
        amplitude: Length of a saccade in pixels of the sensor.
        duration: Duration of a saccade in microseconds.
        steps: Simulation steps per saccade.
        seed: Seed of the mismatch, the only random part.

    Raises:
        ArgumentError: A setting is out of its range.

    Example:
        >>> image = np.zeros((1, 8, 8), dtype=np.uint8)
        >>> image[:, :, 4:] = 255  # an edge, from dark on the left to bright on the right
        >>> camera = EventCamera(sensor=8, mismatch=0.0)
        >>> events = camera(image)[0]
        >>> events.dtype.names
        ('x', 'y', 't', 'p')
        >>> sorted(set(events["x"].tolist()))  # only pixels that the edge passes by
        [3, 4]
    """

    sensor: int | tuple[int, int] = 24
    threshold: float = 0.3
    mismatch: float = 0.03
    dark: float = 0.1
    saccades: int = 3
    amplitude: float = 2.0
    duration: int = 100_000
    steps: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        # One spelling of a size, so that equal cameras compare and hash as equal.
        object.__setattr__(self, "sensor", height_width("sensor", self.sensor))
        for argument in ("threshold", "dark", "amplitude"):
            positive(argument, getattr(self, argument))
        for argument, low in (("saccades", 2), ("duration", 1), ("steps", 1), ("seed", 0)):
            object.__setattr__(self, argument, at_least(argument, getattr(self, argument), low))
        fraction = number("a fraction from 0 to below 1", lambda given: 0 <= given < 1)
        fraction("mismatch", self.mismatch)

    @property
    def span(self) -> tuple[int, int]:
        """Start and end of every recording in microseconds."""
        return 0, self.saccades * self.duration

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the sensor in pixels."""
        return height_width("sensor", self.sensor)

    def path(self) -> NDArray[np.float64]:
        """Return where the camera looks, [saccades * steps + 1, 2]: right and down, in pixels.

        The corners are those of a regular polygon about the origin, its first side going down and
        to the right; the last position is the first.

        Example:
            >>> right, down = EventCamera(amplitude=2.0, steps=1).path().T
            >>> (right.round(1) + 0).tolist(), down.round(2).tolist()
            ([-1.0, 0.0, 1.0, -1.0], [-0.58, 1.15, -0.58, -0.58])
        """
        radius = self.amplitude / (2 * np.sin(np.pi / self.saccades))
        turn = 2 * np.pi * np.arange(self.saccades + 1) / self.saccades
        angle = -np.pi / 2 - np.pi / self.saccades - turn
        corners = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        when = np.arange(self.saccades * self.steps + 1) / self.steps
        return np.stack([np.interp(when, range(len(corners)), side) for side in corners.T], axis=1)

    def __call__(self, images: NDArray[Any], white: float | None = None) -> list[NDArray[np.void]]:
        """Record each image: one structured array (x, y, t, p) per image, sorted by time.

        Args:
            images: [N, H, W], or [N, H, W, C] with one channel, three (red, green, blue, of which
                the luma is taken) or any other number (of which the mean is taken). Images of
                another size than the sensor are resized bicubically.
            white: The value that is full intensity, I = value / white; values beyond [0, white] are
                clipped. None takes the largest value of an integer type, and 1 for floats.

        Raises:
            ArgumentError: The array has another number of axes, or `white` is not above 0.
        """
        scenes = self._intensity(images, white)
        recordings: list[NDArray[np.void]] = []
        for start in range(0, len(scenes), _CHUNK):
            chunk = scenes[start : start + _CHUNK]
            recordings += _split(self.fire(self._look(chunk)), len(chunk))
        return recordings

    def record(self, log_intensity: NDArray[np.floating]) -> list[NDArray[np.void]]:
        """Record films: one structured array (x, y, t, p) per film, sorted by time.

        Args:
            log_intensity: L at the simulation steps 0, 1, ..., shape [S, N, H, W] for N films; a
                step takes `duration` / `steps`.

        Example:
            >>> film = np.zeros((2, 1, 1, 1))
            >>> film[1] = 0.7
            >>> camera = EventCamera(sensor=1, threshold=0.3, mismatch=0.0, duration=700, steps=1)
            >>> camera.record(film)[0].tolist()
            [(0, 0, 300, True), (0, 0, 600, True)]
        """
        return _split(self.fire(iter(log_intensity)), log_intensity.shape[1])

    def fire(self, log_intensity: Iterator[NDArray[np.floating]]) -> NDArray[np.void]:
        """Return the events of pixels whose log intensity is given step by step.

        This is the pixel's whole model, free of images and movement.

        Args:
            log_intensity: L at the simulation steps 0, 1, ..., each [N, H, W].

        Returns:
            Structured array in order of simulation steps, with the fields of `EVENT_DTYPE` and `n`,
            the index along N. Timestamps are microseconds, rounded down.
        """
        threshold = self._thresholds()
        before = next(log_intensity).astype(np.float64)  # float32 has steps that change nothing
        reference = before.copy()
        recorded = [np.empty(0, dtype=_FIRED)]
        for step, frame in enumerate(log_intensity):
            after = frame.astype(np.float64)
            for polarity, sign in ((0, -1.0), (1, 1.0)):
                contrast = sign * threshold[polarity]
                fires = (after - reference) / contrast + _ROUNDING
                pixel = np.nonzero(fires >= 1)
                if pixel[0].size == 0:
                    continue
                times = fires[pixel].astype(np.int64)
                events = np.empty(times.sum(), dtype=_FIRED)
                for field, index in zip(("n", "y", "x"), pixel, strict=True):
                    events[field] = np.repeat(index, times)
                # Event k = 1..times of a pixel is where L, linear in the step, crosses L_ref + k C.
                k = np.arange(1, times.sum() + 1) - np.repeat(np.cumsum(times) - times, times)
                offset, slope = reference[pixel] - before[pixel], after[pixel] - before[pixel]
                each = contrast[pixel[1:]]
                part = np.repeat(offset / slope, times) + k * np.repeat(each / slope, times)
                when = (step + part.clip(0.0, 1.0)) * self.duration / self.steps
                events["t"] = (when + _ROUNDING).astype(np.int64)
                events["p"] = polarity
                recorded.append(events)
                reference[pixel] += each * times
            before = after
        return np.concatenate(recorded)

    def _thresholds(self) -> NDArray[np.float64]:
        """Return C of each pixel, [2, H, W]: OFF, ON."""
        drawn = np.random.default_rng(self.seed).normal(
            self.threshold, self.mismatch * self.threshold, size=(2, *self.shape)
        )
        return np.maximum(drawn, 0.1 * self.threshold)

    def _intensity(self, images: NDArray[Any], white: float | None) -> NDArray[np.float64]:
        """Return I in [0, 1], [N, H, W], at the sensor's size."""
        if images.ndim not in (3, 4):
            raise ArgumentError("images", images.shape, "an array [N, H, W] or [N, H, W, C]")
        if white is None:
            integers = np.issubdtype(images.dtype, np.integer)
            white = float(np.iinfo(images.dtype).max) if integers else 1.0
        intensity = images.astype(np.float64) / positive("white", white)
        if images.ndim == 4:
            intensity = intensity @ _LUMA if images.shape[3] == 3 else intensity.mean(axis=3)
        if intensity.shape[1:] != self.shape:
            intensity = torch.nn.functional.interpolate(
                torch.from_numpy(intensity)[:, None],
                size=self.shape,
                mode="bicubic",
                align_corners=False,
                antialias=True,
            )[:, 0].numpy()
        return intensity.clip(0.0, 1.0)

    def _look(self, scenes: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
        """Yield L = ln(dark + I) of the moving scenes [N, H, W], step by step."""
        path = self.path()
        margin = int(np.ceil(np.abs(path).max())) + 1
        padded = np.pad(scenes, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
        height, width = scenes.shape[1:]
        for right, down in path + margin:
            column, row = int(right), int(down)
            u, v = right - column, down - row
            view = padded[:, row : row + height + 1, column : column + width + 1]
            rows = (1 - v) * view[:, :-1] + v * view[:, 1:]
            yield np.log(self.dark + (1 - u) * rows[:, :, :-1] + u * rows[:, :, 1:])


def camera_of_size(
    camera: EventCamera | None, size: tuple[int, int], unread: Sequence[str] = ()
) -> EventCamera:
    """Return a camera, the default one for None, whose sensor has the size of a data module.

    Args:
        camera: The camera.
        size: (H, W) in pixels.
        unread: Settings that the data module does not use.

    Raises:
        ArgumentError: The camera has another sensor of its own, or sets what is not used.

    Example:
        >>> camera_of_size(EventCamera(threshold=0.2), (48, 64)).shape
        (48, 64)
    """
    default = EventCamera()
    camera = camera or default
    if camera.shape not in (size, default.shape):
        raise ArgumentError("camera.sensor", camera.sensor, "no sensor, since size sets it")
    for name in unread:
        if (value := getattr(camera, name)) != getattr(default, name):
            raise ArgumentError(
                f"camera.{name}", value, f"no {name}, since this camera does not move"
            )
    return replace(camera, sensor=size)


def _split(fired: NDArray[np.void], count: int) -> list[NDArray[np.void]]:
    """Return the events of each of `count` images, in order of time."""
    fired = fired[np.lexsort((fired["t"], fired["n"]))]
    events = np.empty(len(fired), dtype=EVENT_DTYPE)
    for field in EVENT_DTYPE.names or ():
        events[field] = fired[field]
    ends = np.searchsorted(fired["n"], np.arange(count), side="right")
    return np.split(events, ends)[:count]
