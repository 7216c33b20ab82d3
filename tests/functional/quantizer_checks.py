"""What every weight quantizer must satisfy, as checks that raise AssertionError.

A quantizer is a function from an array of weights to an array, its scale held fixed.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

FLOATS = st.floats(-8, 8, width=32, allow_subnormal=False)
WEIGHTS = st.lists(FLOATS, min_size=1, max_size=24).map(lambda xs: np.array(xs, np.float32))
SCALES = st.floats(2.0**-6, 8, width=32)


def check_on_grid(quantize, w, levels, unit):
    """Each quantized weight is a level times the unit, bit for bit."""
    grid = np.array(levels, np.float32) * np.float32(unit)
    assert np.isin(quantize(w), grid).all()


def check_few_levels(levels, bits):
    """The levels ascend, and their number fits the width."""
    assert list(levels) == sorted(set(levels))
    assert len(levels) <= 2**bits


def check_idempotent(quantize, w):
    """A quantized weight is quantized to itself."""
    once = quantize(w)
    np.testing.assert_array_equal(quantize(once), once)


def check_monotone(quantize, w):
    """A larger weight is never quantized to less."""
    assert (np.diff(quantize(np.sort(w))) >= 0).all()


def check_odd(quantize, w):
    """Q(-w) = -Q(w), at every weight that is given."""
    np.testing.assert_array_equal(quantize(-w), -quantize(w))


def check_nearest(quantize, w, levels, unit):
    """No level is closer than the one that was chosen, up to float32 rounding."""
    grid = np.array(levels, np.float64) * float(unit)
    w = w.astype(np.float64)
    chosen = np.abs(quantize(w.astype(np.float32)).astype(np.float64) - w)
    best = np.abs(w[:, None] - grid).min(1)
    assert (chosen <= best + 1e-6 * (np.abs(w) + abs(float(unit)))).all()
