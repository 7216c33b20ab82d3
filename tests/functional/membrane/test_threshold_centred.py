import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from snntorch.functional import quant

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import nearest_level, threshold_centred_levels


@given(
    bits=st.integers(1, 8),
    threshold=st.floats(0.25, 4.0),
    spacing=st.sampled_from(["exponential", "uniform"]),
    below=st.floats(0.0, 1.0),
    above=st.floats(0.05, 1.0),
)
@settings(max_examples=80, deadline=None)
def test_stored_values_equal_snntorchs(bits, threshold, spacing, below, above):
    theirs = quant.state_quant(
        num_bits=bits,
        uniform=spacing == "uniform",
        thr_centered=True,
        threshold=threshold,
        lower_limit=below,
        upper_limit=above,
    )
    levels = threshold_centred_levels(bits, threshold, spacing, below, above)
    assert len(levels) == 2**bits
    assert list(levels) == sorted(levels)
    table = torch.tensor(levels, dtype=torch.float64)
    torch.testing.assert_close(
        table, inspect.getclosurevars(theirs).nonlocals["levels"].double(), rtol=0, atol=1e-5
    )
    # in between, but for the edges, where rounding decides
    gaps = table.diff()
    clear = gaps > 1e-3
    u = (table[:-1] + 0.4 * gaps)[clear]
    ours = nearest_level(torch.cat([u, u + 0.2 * gaps[clear], -9 * table[-1:]]).float(), levels)
    expected = torch.cat([table[:-1][clear], table[1:][clear], table[:1]]).float()
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)
    u = torch.cat([u, u + 0.2 * gaps[clear]]).float()
    torch.testing.assert_close(nearest_level(u, levels), theirs(u), rtol=0, atol=1e-5)


def test_levels_crowd_around_the_threshold_and_miss_it_and_zero():
    levels = torch.tensor(threshold_centred_levels(4), dtype=torch.float64)
    below, above = levels[levels < 1], levels[levels > 1]
    assert (below.diff().diff() < 0).all()  # gaps shrink towards it from below
    assert (above.diff().diff() >= 0).all()
    assert 1 - below[-1] < 1e-3 < above[0] - 1
    assert not torch.isin(torch.tensor([0.0, 1.0], dtype=torch.float64), levels).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 0}, "bits=0 is not allowed"),
        ({"bits": 2, "threshold": 0.0}, r"threshold=0\.0"),
        ({"bits": 2, "above": 0.0}, r"above=0\.0"),
        ({"bits": 2, "below": -1.0}, r"below=-1\.0"),
        ({"bits": 2, "ratio": 1.0}, r"ratio=1\.0"),
        ({"bits": 2, "spacing": "log"}, "spacing='log'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        threshold_centred_levels(**arguments)
