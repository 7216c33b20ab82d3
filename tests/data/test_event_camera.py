"""EventCamera against closed forms."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsnn_plugins.data.event_camera import EventCamera
from qsnn_plugins.data.frames import EVENT_DTYPE
from qsnn_plugins.errors import ArgumentError

ONE_PIXEL = EventCamera(sensor=1, threshold=0.25, mismatch=0.0, duration=1_000, steps=10)


def ramp(start, end, steps):
    """Yield the log intensity of one pixel that goes from `start` to `end`."""
    return iter(np.linspace(start, end, steps + 1).reshape(-1, 1, 1, 1))


def pictures(seed=0, count=3, side=12):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)


@given(st.floats(0.01, 20), st.integers(1, 40), st.booleans())
def test_a_ramp_fires_at_each_crossing(height, steps, rising):
    """L = ± height t / (steps dt) crosses k C at t = k C steps dt / height, k = 1, 2, ..."""
    sign = 1 if rising else -1
    events = ONE_PIXEL.fire(ramp(-0.3, -0.3 + sign * height, steps))
    k = np.arange(1, int(height / 0.25 + 1e-9) + 1)
    assert len(events) == len(k)
    assert (events["p"] == rising).all()
    # Whole microseconds, rounded down; a step of the simulation takes 100 µs.
    expected = k * 0.25 * steps * 100 / height
    assert (np.abs(events["t"] - np.floor(expected)) <= 1).all()
    assert (np.abs(events["t"] - (expected - 0.5)) <= 0.51).all()


def test_a_ramp_in_many_steps_fires_as_in_one():
    once, often = (ONE_PIXEL.fire(ramp(0.0, 2.6, steps)) for steps in (1, 100))
    assert len(once) == len(often) == 10
    # The same ten levels; one step of 100 µs against a hundred of them.
    assert np.abs(once["t"] * 100 - often["t"]).max() <= 100


def test_the_reference_follows_the_events():
    """Up by 3.4 C, then down by 3 C: three ON events, then levels 2 C and 1 C: two OFF events."""
    signal = iter(np.array([0.0, 0.85, 0.10]).reshape(-1, 1, 1, 1))
    assert ONE_PIXEL.fire(signal)["p"].tolist() == [1, 1, 1, 0, 0]


def test_a_uniform_image_fires_nothing():
    flat = np.full((2, 9, 9), 77, dtype=np.uint8)
    assert [len(events) for events in EventCamera(sensor=9)(flat)] == [0, 0]


def test_a_still_pixel_fires_nothing():
    assert len(ONE_PIXEL.fire(ramp(0.7, 0.7, 5))) == 0


def test_reversed_contrast_flips_polarity():
    """ln(dark + I) of the reversed ramp is the mirror image of the ramp's."""
    up, down = ONE_PIXEL.fire(ramp(-1, 1, 7)), ONE_PIXEL.fire(ramp(1, -1, 7))
    assert up["p"].all()
    assert not down["p"].any()
    assert np.abs(up["t"] - down["t"]).max() <= 1
    # And for an image: g / I has the log intensities of I, mirrored.
    dim = np.random.default_rng(0).uniform(0.2, 0.9, (1, 9, 9))
    camera = EventCamera(sensor=9, mismatch=0.0, dark=1e-12, amplitude=1e-6, threshold=1e-7)
    first, second = camera(dim)[0], camera(0.19 / dim)[0]
    assert first["p"].sum() == pytest.approx((~second["p"]).sum(), rel=0.02)
    assert len(first) > 100


def test_an_edge_moves_with_the_camera():
    """Bright on the right: the camera moving right sees brightness arrive (ON), leftwards it go."""
    image = np.zeros((1, 12, 12), dtype=np.uint8)
    image[:, :, 6:] = 255
    camera = EventCamera(sensor=12, mismatch=0.0)
    events = camera(image)[0]
    rightwards = events["t"] < 2 * camera.duration
    assert events["p"][rightwards].all()
    assert not events["p"][~rightwards].any()
    assert rightwards.sum() == (~rightwards).sum() > 0
    # It sees nothing where it passes no edge: amplitude 2 reaches one pixel to either side.
    assert set(events["x"].tolist()) == {5, 6}
    assert set(events["y"].tolist()) == set(range(12))


def test_the_image_is_seen_shifted():
    """Two saccades go right and back: from -1 over -0.5, 0, 0.5 to 1 pixel, in four steps."""
    image = pictures(count=1)
    intensity = image[0] / 255
    camera = EventCamera(sensor=12, saccades=2, amplitude=2.0, steps=4)
    left, _, middle, half, right, *_ = camera._look(camera._intensity(image, None))
    inner = np.exp(middle[0]) - camera.dark
    np.testing.assert_allclose(inner, intensity, atol=1e-12)
    np.testing.assert_allclose(right[0, :, :-1], middle[0, :, 1:], atol=1e-12)
    np.testing.assert_allclose(left[0, :, 1:], middle[0, :, :-1], atol=1e-12)
    between = np.exp(half[0, :, :-1]) - camera.dark
    np.testing.assert_allclose(between, (intensity[:, :-1] + intensity[:, 1:]) / 2, atol=1e-12)
    # Beyond the border the outermost pixels go on.
    np.testing.assert_allclose(right[0, :, -1], middle[0, :, -1], atol=1e-12)


def test_recordings_are_sorted_and_end_in_time():
    camera = EventCamera(sensor=12)
    for events in camera(pictures()):
        assert events.dtype == EVENT_DTYPE
        assert (np.diff(events["t"]) >= 0).all()
        assert camera.span[0] <= events["t"][0]
        assert events["t"][-1] <= camera.span[1]
        assert set(np.unique(events["p"]).tolist()) == {False, True}


def test_the_path_is_a_closed_polygon_with_sides_of_the_amplitude():
    camera = EventCamera(saccades=5, amplitude=3.0, steps=4)
    path = camera.path()
    corners = path[::4]
    np.testing.assert_allclose(path[0], path[-1], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(np.diff(corners, axis=0), axis=1), 3.0)
    np.testing.assert_allclose(np.linalg.norm(np.diff(path, axis=0), axis=1), 3.0 / 4)


def test_neighbours_in_the_batch_change_nothing():
    """131 images pass through in more than one chunk, and each as if it were alone."""
    images = pictures(count=131)
    camera = EventCamera(sensor=12)
    together = camera(images)
    assert len(together) == 131
    for index in (0, 63, 64, 130):
        np.testing.assert_array_equal(together[index], camera(images[index : index + 1])[0])


def test_the_seed_decides_the_mismatch():
    images = pictures()
    camera = EventCamera(sensor=12, mismatch=0.05, seed=1)
    first, again = camera(images)[0], replace(camera)(images)[0]
    other = replace(camera, seed=2)(images)[0]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    thresholds = EventCamera(sensor=200, threshold=0.4, mismatch=0.05)._thresholds()
    assert thresholds.std() == pytest.approx(0.02, rel=0.03)
    assert thresholds.mean() == pytest.approx(0.4, rel=0.01)


def test_every_kind_of_image_is_taken():
    """uint8, float, one channel, and three equal ones are the same grey picture."""
    grey = pictures()
    camera = EventCamera(sensor=12)
    as_bytes = camera._intensity(grey, None)
    np.testing.assert_allclose(camera._intensity(grey / 255, None), as_bytes)
    np.testing.assert_allclose(camera._intensity(grey.astype(float), 255), as_bytes)
    np.testing.assert_allclose(camera._intensity(grey[..., None], None), as_bytes)
    np.testing.assert_allclose(camera._intensity(np.stack([grey] * 3, -1), None), as_bytes)
    np.testing.assert_allclose(camera._intensity(np.stack([grey] * 5, -1), None), as_bytes)
    assert camera._intensity(np.full((1, 12, 12), 400.0), 200).max() == 1.0


def test_images_are_resized_to_the_sensor():
    seen = EventCamera(sensor=(20, 30))._intensity(np.ones((2, 8, 8)), None)
    np.testing.assert_allclose(seen, np.ones((2, 20, 30)))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("sensor", 0),
        ("threshold", 0.0),
        ("threshold", float("nan")),
        ("mismatch", -0.1),
        ("mismatch", 1.0),
        ("dark", 0.0),
        ("saccades", 1),
        ("amplitude", -1.0),
        ("duration", 0),
        ("steps", 0),
        ("seed", -1),
    ],
)
def test_bad_settings_are_named(argument, value):
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        EventCamera(**{argument: value})


def test_bad_images_are_named():
    with pytest.raises(ArgumentError, match=r"^images=\(8, 8\)"):
        EventCamera()(np.zeros((8, 8)))
    with pytest.raises(ArgumentError, match=r"^white=0 "):
        EventCamera()(np.zeros((1, 8, 8)), white=0)


def test_a_film_in_float32_has_times_within_it():
    for threshold, seed in itertools.product((0.2, 0.25, 0.3), range(100)):
        generator = np.random.default_rng(seed)
        start = generator.normal()
        end = start + threshold * generator.integers(1, 9)  # all but a rounding fires again
        film = np.array([start, end, end, end], dtype=np.float32).reshape(4, 1, 1, 1)
        times = replace(ONE_PIXEL, steps=3, threshold=threshold).fire(iter(film))["t"]
        assert ((times >= 0) & (times <= 1_000)).all()
