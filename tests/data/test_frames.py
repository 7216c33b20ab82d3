"""FrameBinning against tonic, against SpikingJelly's convention, and against what must hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsnn_plugins.data.frames import EVENT_DTYPE, FrameBinning
from qsnn_plugins.errors import ArgumentError, DataError

SENSOR = (5, 7)  # height, width: unequal, so that a swap shows


def draw(seed, count, duration):
    """Return `count` random events in order of time, from 100 µs to `duration` later."""
    rng = np.random.default_rng(seed)
    events = np.zeros(count, dtype=EVENT_DTYPE)
    events["x"] = rng.integers(0, SENSOR[1], count)
    events["y"] = rng.integers(0, SENSOR[0], count)
    events["p"] = rng.integers(0, 2, count)
    events["t"] = 100 + np.sort(rng.integers(0, duration + 1, count))
    events["t"][0], events["t"][-1] = 100, 100 + duration
    return events


recordings = st.builds(
    draw, st.integers(0, 2**32 - 1), st.integers(2, 300), st.integers(0, 400_000)
)
bins = st.sampled_from(["time", "count"])


@pytest.fixture(scope="module")
def tonic():
    return pytest.importorskip("tonic", reason="tonic, the oracle, is not installed")


def test_dtype_is_tonics(tonic):
    assert tonic.io.events_struct == EVENT_DTYPE


@pytest.mark.parametrize("time_steps", [1, 3, 8])
def test_equal_time_is_tonics_where_time_divides(tonic, time_steps):
    events = draw(0, 200, duration=time_steps * 1_000)
    tonics = tonic.transforms.ToFrame(sensor_size=(7, 5, 2), n_time_bins=time_steps)(events)
    last = events["t"] == events["t"][-1]  # tonic's last bin is open: it drops them
    for event in events[last]:
        tonics[-1, int(event["p"]), event["y"], event["x"]] += 1
    ours = FrameBinning(time_steps, binary=False)(events, SENSOR)
    np.testing.assert_array_equal(ours, tonics)


@pytest.mark.parametrize("time_steps", [1, 3, 8])
def test_equal_count_is_tonics_where_count_divides(tonic, time_steps):
    events = draw(1, 25 * time_steps, duration=12_345)
    tonics = tonic.transforms.ToFrame(sensor_size=(7, 5, 2), n_event_bins=time_steps)(events)
    ours = FrameBinning(time_steps, bin_by="count", binary=False)(events, SENSOR)
    np.testing.assert_array_equal(ours, tonics)


@given(recordings, st.integers(1, 12), bins)
def test_every_event_is_counted_once(events, time_steps, bin_by):
    frames = FrameBinning(time_steps, bin_by=bin_by, binary=False)(events, SENSOR)
    assert frames.shape == (time_steps, 2, *SENSOR)
    assert frames.dtype == np.uint8
    assert frames[:, 1].sum() == events["p"].sum()
    assert frames.sum() == len(events)


@given(recordings, st.integers(1, 12))
def test_equal_counts_differ_by_one_at_most(events, time_steps):
    frames = FrameBinning(time_steps, bin_by="count", binary=False)(events, SENSOR)
    counts = frames.sum(axis=(1, 2, 3))
    assert counts.max() - counts.min() <= 1


@given(recordings, st.integers(1, 12))
def test_bins_of_time_have_one_width(events, time_steps):
    """Bin k begins at t_0 + k (t_1 - t_0) / T; numpy's histogram says the same."""
    frames = FrameBinning(time_steps, binary=False)(events, SENSOR)
    t = events["t"] - events["t"][0]
    if t[-1] == 0:
        expected = np.eye(1, time_steps, 0, dtype=int)[0] * len(t)
    else:  # scaled by T, the borders are integers and no rounding is left
        borders = np.arange(time_steps + 1) * t[-1]
        expected, _ = np.histogram(t * time_steps, bins=borders)
    np.testing.assert_array_equal(frames.sum(axis=(1, 2, 3)), expected)


@given(recordings, st.integers(1, 12), bins)
def test_binary_is_the_sign_of_the_counts(events, time_steps, bin_by):
    counted = FrameBinning(time_steps, bin_by=bin_by, binary=False)(events, SENSOR)
    marked = FrameBinning(time_steps, bin_by=bin_by)(events, SENSOR)
    np.testing.assert_array_equal(marked, counted > 0)


def test_more_bins_than_events():
    events = draw(2, 3, duration=10)
    assert FrameBinning(8, bin_by="count", binary=False)(events, SENSOR).sum() == 3


def test_no_events_give_empty_frames():
    frames = FrameBinning(4, size=(3, 2))(np.empty(0, dtype=EVENT_DTYPE), SENSOR)
    assert frames.shape == (4, 2, 3, 2)
    assert not frames.any()


def test_counts_saturate():
    events = np.zeros(300, dtype=EVENT_DTYPE)
    assert FrameBinning(1, binary=False)(events, SENSOR)[0, 0, 0, 0] == 255


def test_equal_count_takes_the_order_of_time_not_of_the_file():
    events = draw(3, 60, duration=1_000_000)
    mixed = np.random.default_rng(0).permutation(events)
    binning = FrameBinning(4, bin_by="count", binary=False)
    np.testing.assert_array_equal(binning(mixed, SENSOR), binning(events, SENSOR))


def test_span_moves_the_borders():
    events = np.zeros(2, dtype=EVENT_DTYPE)
    events["t"] = 10, 49
    frames = FrameBinning(10, binary=False)(events, SENSOR, span=(0, 100))
    assert np.flatnonzero(frames.sum(axis=(1, 2, 3))).tolist() == [1, 4]
    with pytest.raises(DataError, match="from 10 to 49 µs lie outside 0 to 40"):
        FrameBinning(10)(events, SENSOR, span=(0, 40))


def test_size_scales_coordinates():
    events = np.zeros(4, dtype=EVENT_DTYPE)
    events["x"], events["y"] = [0, 2, 3, 127], [0, 5, 64, 127]
    frames = FrameBinning(1, size=(48, 24))(events, (128, 128))
    rows, columns = np.nonzero(frames[0, 0])
    assert rows.tolist() == [0, 1, 24, 47]  # floor(48 y / 128)
    assert columns.tolist() == [0, 0, 0, 23]  # floor(24 x / 128)


@pytest.mark.parametrize(("field", "value"), [("x", 7), ("y", 5), ("x", -1), ("y", -1)])
def test_an_event_outside_the_sensor_is_refused(field, value):
    events = draw(4, 10, duration=10)
    events[field][6] = value
    with pytest.raises(DataError, match=f"event 6 at .*{field}={value}.*5 x 7"):
        FrameBinning(2)(events, SENSOR)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("time_steps", 0),
        ("time_steps", 2.5),
        ("time_steps", True),
        ("bin_by", "number"),
        ("size", 0),
        ("size", (48, -1)),
        ("size", (48, 48, 2)),
        ("size", 2.5),
    ],
)
def test_bad_settings_are_named(argument, value):
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        FrameBinning(**{"time_steps": 4, argument: value})


def test_equal_settings_are_equal():
    assert FrameBinning(4, size=48) == FrameBinning(4, size=(48, 48))
    assert hash(FrameBinning(4, size=[48, 48])) == hash(FrameBinning(4, size=48))


@pytest.mark.parametrize("polarity", [-1, 2])
def test_a_polarity_that_is_neither_0_nor_1_is_named(polarity):
    events = np.zeros(3, dtype=[("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "i1")])
    events["p"] = [1, polarity, 0]
    with pytest.raises(DataError, match=rf"^event 1 has polarity p={polarity}: give 0 \(OFF"):
        FrameBinning(2)(events, SENSOR)


def floats(**values):
    """Return three events with fields of float64, which lie in frames 0, 0 and 1 of 2."""
    events = np.zeros(3, dtype=[(name, "f8") for name in "xytp"])
    events["t"] = 0, 10, 50
    for name, value in values.items():
        events[name][1] = value
    return events


def test_floats_that_are_integers_are_taken():
    frames = FrameBinning(2, binary=False)(floats(x=3), SENSOR)
    assert frames[:, 0, 0, 0].tolist() == [1, 1]
    assert frames[:, 0, 0, 3].tolist() == [1, 0]


@pytest.mark.parametrize("bin_by", ["time", "count"])
@pytest.mark.parametrize("field", ["x", "y", "t", "p"])
@pytest.mark.parametrize("value", [0.25, np.nan, np.inf, -1e300])
def test_a_value_that_is_no_integer_is_named(field, value, bin_by):
    """Times in seconds would put all events into one frame without a word."""
    unit = " in microseconds" if field == "t" else ""
    with pytest.raises(DataError) as raised:
        FrameBinning(2, bin_by=bin_by)(floats(**{field: value}), SENSOR)
    assert str(raised.value) == f"event 1 has {field}={value}: give integers{unit}"


def test_times_of_another_type_are_named():
    events = np.zeros(3, dtype=[("x", "i2"), ("y", "i2"), ("t", "m8[ms]"), ("p", "?")])
    with pytest.raises(DataError, match=r"^events have t of type timedelta64\[ms\]: give integers"):
        FrameBinning(2)(events, SENSOR)


def test_a_span_beyond_64_bits_is_named():
    events = np.array([(0, 0, 0, 1), (0, 0, 2**62, 1)], dtype=EVENT_DTYPE)
    with pytest.raises(DataError, match=r"^events from 0 to \d+ µs: no recording is so long"):
        FrameBinning(4)(events, SENSOR)
