"""Networks as points, the Pareto front by brute force, and the two figures of results."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.plot import MeasuredNetwork, bits_figure, memory_figure, pareto_front

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


def test_seeds_have_a_mean_and_a_spread():
    seeds = network(10, (94.0, 95.0, 98.0))
    assert seeds.accuracy == pytest.approx(np.mean([94, 95, 98]))
    assert seeds.spread == pytest.approx(np.std([94, 95, 98], ddof=1))
    assert network(10, 94.0).spread == 0


@pytest.mark.parametrize(
    ("values", "told"),
    [((10, ()), "accuracies"), ((0, 95.0), "memory=0"), ((1, 95.0, 0), "membrane_bits=0")],
)
def test_what_is_no_point_is_refused(values, told):
    with pytest.raises(ArgumentError, match=told):
        network(*values)


def test_bits_are_drawn_in_order_and_named():
    series = {"Q-SNN": [network(9, 96.0, 32.0), network(2, (94.0, 95.0), np.log2(3))]}
    figure = bits_figure(series)
    (axes,) = figure.axes
    (container,) = axes.containers
    line, caps, _ = container
    assert list(line.get_xdata()) == [np.log2(3), 32]
    assert list(line.get_ydata()) == [94.5, 96]
    assert caps[0].get_ydata()[0] == pytest.approx(94.5 - np.sqrt(0.5))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1.58", "32"]
    assert axes.get_xlabel()
    assert axes.get_ylabel() == "test accuracy (%)"


def test_the_front_is_drawn_over_all_series():
    series = {
        "a": [network(1000, 90.0, label="small"), network(4000, 89.0, label="bad")],
        "b": [network(2000, 95.0, label="good")],
    }
    figure = memory_figure(series)
    (axes,) = figure.axes
    front = next(line for line in axes.lines if line.get_label() == "Pareto front")
    assert list(front.get_xdata()) == [1, 2]
    assert list(front.get_ydata()) == [90, 95]
    weights = {text.get_text(): text.get_fontweight() for text in axes.texts}
    assert weights == {"small": "bold", "bad": "normal", "good": "bold"}
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(told) == ["Pareto front", "a", "b"]


@pytest.mark.parametrize("draw", [bits_figure, memory_figure])
@pytest.mark.parametrize("series", [{}, {"a": []}])
def test_no_points_are_refused(draw, series):
    with pytest.raises(ArgumentError, match="series="):
        draw(series)
