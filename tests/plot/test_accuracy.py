"""Networks as points, the Pareto front by brute force, and the two figures of results."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.plot import (
    MeasuredNetwork,
    bits_figure,
    interval_of_mean,
    pareto_front,
    tradeoff_figure,
)

points = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), max_size=12)


def network(memory, accuracy, bits=2.0, label=""):
    accuracies = accuracy if isinstance(accuracy, tuple) else (accuracy,)
    return MeasuredNetwork(label, accuracies, bits, memory)


def is_beaten(one, others):
    return any(
        other.memory <= one.memory
        and other.accuracy >= one.accuracy
        and (other.memory, other.accuracy) != (one.memory, one.accuracy)
        for other in others
    )


@given(points)
def test_the_front_is_what_no_other_beats(places):
    networks = [network(m, a, label=str(i)) for i, (m, a) in enumerate(places)]
    front = pareto_front(networks)
    wanted = {n.label for n in networks if not is_beaten(n, networks)}
    assert {n.label for n in front} == wanted
    assert [n.memory for n in front] == sorted(n.memory for n in front)


def test_seeds_have_a_mean_and_an_interval():
    values = (94.0, 95.0, 98.0)
    seeds = network(10, values)
    assert seeds.accuracy == pytest.approx(np.mean(values))
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert seeds.interval == pytest.approx((high - low) / 2, rel=1e-3)
    assert network(10, 94.0).interval == 0


@pytest.mark.parametrize("count", [*range(2, 14), 20, 31, 100])
def test_the_interval_is_that_of_student(count):
    values = np.random.default_rng(count).normal(size=count)
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert interval_of_mean(list(values)) == pytest.approx((high - low) / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((10, ()), "accuracies"),
        ((10, np.nan), "accuracies"),
        ((0, 95.0), "memory=0"),
        ((1, 95.0, 0), "membrane_bits=0"),
    ],
)
def test_what_is_no_point_is_refused(values, told):
    with pytest.raises(ArgumentError, match=told):
        network(*values)


def test_bits_are_drawn_in_order_and_named():
    series = {"Q-SNN": [network(9, (96.0, 96.0), 32.0), network(2, (94.0, 95.0), 2.0)]}
    (axes,) = bits_figure(series).axes
    (container,) = axes.containers
    line, caps, _ = container
    assert list(line.get_xdata()) == [2, 32]
    assert list(line.get_ydata()) == [94.5, 96]
    assert caps[0].get_ydata()[0] == pytest.approx(94.5 - 12.706 * 0.5)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["2", "32 (float)"]
    assert axes.get_xlabel()
    assert axes.get_ylabel() == "test accuracy (%)\nmean and 95 % interval, 2 runs"


def test_networks_of_the_same_bits_are_no_line():
    (axes,) = bits_figure({"a": [network(9, 96.0), network(2, 94.0)]}).axes
    assert axes.containers[0][0].get_linestyle() == "None"
    assert axes.get_ylabel() == "test accuracy (%), one seed"


def test_the_front_is_drawn_over_all_series():
    series = {
        "a": [network(1000, 90.0, label="small"), network(4000, 89.0, label="bad")],
        "b": [network(2000, 95.0, label="good")],
        "float": [MeasuredNetwork("", (96.0,), 32, 9000, is_float=True)],
    }
    figure = tradeoff_figure(series)
    (axes,) = figure.axes
    front = next(line for line in axes.lines if line.get_label() == "Pareto front")
    assert list(front.get_xdata()) == [1, 2, 9]
    assert list(front.get_ydata()) == [90, 95, 96]
    weights = {text.get_text(): text.get_fontweight() for text in axes.texts}
    assert weights | {"": "bold"} == {"small": "bold", "bad": "normal", "good": "bold", "": "bold"}
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(names) == ["Pareto front", "a", "b", "float"]
    markers = {c.get_label(): c[0].get_marker() for c in axes.containers}
    assert markers["float"] == "*"
    assert len(set(markers.values())) == 3


def test_fine_tuned_and_from_scratch_share_colour_and_label():
    tuned = MeasuredNetwork("W4", (90.0,), 2, 1000, is_fine_tuned=True)
    scratch = MeasuredNetwork("W4", (88.0,), 2, 1000)
    other = MeasuredNetwork("W2", (80.0,), 2, 800)
    figure = tradeoff_figure({"IM-SNN": [tuned, scratch, other]})
    (axes,) = figure.axes
    filled, opened = (container[0] for container in axes.containers)
    assert list(filled.get_ydata()) == [90]
    assert list(opened.get_ydata()) == [88, 80]
    assert filled.get_color() == opened.get_color() == filled.get_markerfacecolor()
    assert opened.get_markerfacecolor() == "white"
    assert sorted(text.get_text() for text in axes.texts) == ["W2", "W4"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(names) == ["IM-SNN", "Pareto front", "fine-tuned from float", "from scratch"]


@pytest.mark.parametrize("draw", [bits_figure, tradeoff_figure])
@pytest.mark.parametrize("series", [{}, {"a": []}])
def test_no_points_are_refused(draw, series):
    with pytest.raises(ArgumentError, match="series="):
        draw(series)


def test_a_metric_of_another_name_is_on_the_axis():
    points = [MeasuredNetwork("", (43.0,), 2, 10, metric="mAP")]
    (axes,) = tradeoff_figure({"IM-SNN": points}).axes
    assert (axes.get_title(), axes.get_ylabel()) == ("mAP against memory", "test mAP (%), one seed")
    with pytest.raises(ArgumentError, match=r"metric=.*'mAP', 'accuracy'"):
        bits_figure({"IM-SNN": [*points, network(10, 95.0)]})
