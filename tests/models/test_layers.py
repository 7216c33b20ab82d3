"""The strings of networks: repetitions, and what is said of a wrong one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import parse_layers


def texts(layers):
    return "-".join(token.text for token in parse_layers(layers))


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("512C3x4-AP2", "512C3-512C3-512C3-512C3-AP2"),
        ("512C3×2-AP2", "512C3-512C3-AP2"),
        ("(8C3-MP2)x3-FC4", "8C3-MP2-8C3-MP2-8C3-MP2-FC4"),
        ("2x(8C3-MP2)-FC4", "8C3-MP2-8C3-MP2-FC4"),
        ("(8C3)-FC4", "8C3-FC4"),
        ("((8C3x2-AP2)x2-GAP)x1-FC4", "8C3-8C3-AP2-8C3-8C3-AP2-GAP-FC4"),
        ("2×((4DW)x2-MP3)", "4DW-4DW-MP3-4DW-4DW-MP3"),
    ],
)
def test_a_repetition_is_what_it_abbreviates(short, long):
    assert texts(short) == long
    assert parse_layers(short) == parse_layers(long)


@given(
    st.lists(st.sampled_from(["8C3", "4DW", "AP2", "MP2", "GAP", "FC5"]), min_size=1, max_size=4),
    st.integers(1, 5),
)
def test_groups_repeat_their_inside(inside, times):
    group = "-".join(inside)
    expected = "-".join([group] * times)
    assert texts(f"({group})x{times}") == texts(f"{times}x({group})") == texts(expected)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ("4C3-(8C3-BP2)x2-FC3", ["token 3 (at character 10)", "'BP2'"]),
        ("4C3-2x(8C3-BP2)-FC3", ["token 3 (at character 12)", "'BP2'"]),
        ("4C3-(8C3-FC3", ["character 5", "'('", 'a ")" after']),
        ("4C3-8C3)x2-FC3", ["character 8", "')'", 'a "(" before']),
        ("4C3x0-FC3", ["token 1 (at character 1)", "'4C3x0'", "from 1 to 999"]),
        ("(4C3-AP2)x0-FC3", ["group (at character 1)", "from 1 to 999"]),
        ("4C3x1000-FC3", ["token 1", "from 1 to 999"]),
        ("4C3-3x(8C3)x2", ["group (at character 5)", "one number"]),
        ("4C3-(8C3)y2", ["group (at character 5)", "(...)xn"]),
        ("4C3-()x2", ["token 2 (at character 6)", "''"]),
        ("((4C3x999)x999)x999", ["at most 1000 layers"]),
        ("4C3x-FC3", ["token 1", "'4C3x'", "nCk"]),
        ("4C3-FC1234567890", ["token 2", "9 digits"]),
    ],
)
def test_a_bad_repetition_is_named_and_placed(layers, words):
    with pytest.raises(ArgumentError) as caught:
        parse_layers(layers)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_convolution_may_say_its_padding():
    plain, padded = parse_layers("8C1-8C1P2")
    assert (plain.padding, padded.padding) == (None, 2)
    for layers in ("8C1P0-FC3", "8C1P-FC3"):
        with pytest.raises(ArgumentError, match=r"nCkPp"):
            parse_layers(layers)
