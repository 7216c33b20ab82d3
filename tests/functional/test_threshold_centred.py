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
    generator = torch.Generator().manual_seed(bits)
    u = threshold * (torch.rand(200, generator=generator) * 5 - 2.5)
    ours = nearest_level(u, levels)
    torch.testing.assert_close(ours, theirs(u), rtol=1e-5, atol=1e-5 * threshold)


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
