"""Printed digits against numpy's rounding and against cases by hand."""

import numpy as np
import pytest

from qsnn_plugins.reproduce.digits import compare, is_printed_number


@pytest.mark.parametrize(
    ("printed", "computed", "match"),
    [
        ("49.94", 49.945344, "truncated"),
        ("49.94", 49.938, "agrees"),
        ("49.94", 49.95, "differs"),
        ("5.5", 5.506, "agrees"),
        ("6.50", 6.5, "agrees"),
        ("6.50", 6.54, "differs"),
        ("13", 12.5, "agrees"),
        ("13", 13.99, "truncated"),
        ("-0.05", -0.0512, "agrees"),
        ("-0.05", -0.059, "truncated"),
        ("250", 258.0, "differs"),
    ],
)
def test_by_hand(printed, computed, match):
    assert compare(printed, computed) == match


@pytest.mark.parametrize("decimals", [0, 1, 2, 3])
def test_what_numpy_rounds_agrees_and_its_neighbours_do_not(decimals):
    generator = np.random.default_rng(decimals)
    for value in generator.uniform(0.1, 300, 200):
        printed = f"{np.round(value, decimals):.{decimals}f}"
        assert compare(printed, value) == "agrees"
        above = f"{np.round(value, decimals) + 10.0**-decimals:.{decimals}f}"
        assert compare(above, value) == "differs"


def test_what_is_a_number():
    assert all(map(is_printed_number, ("12", "0.50", "-1.5")))
    assert not any(map(is_printed_number, ("", "NA", "12 MB", "nan", 12, None)))
