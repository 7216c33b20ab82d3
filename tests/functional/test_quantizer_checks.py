"""Each check must be able to fail: it is shown a quantizer that breaks it."""

import numpy as np
import pytest

from tests.functional import quantizer_checks as checks

W = np.array([-2.5, -0.6, -0.1, 0.0, 0.3, 0.7, 1.9], np.float32)
TERNARY = (-1, 0, 1)


def good(w):
    return np.clip(np.round(w), -1, 1)


BROKEN = {
    "check_on_grid": (lambda w: good(w) * np.float32(1.0000001), (TERNARY, 1.0)),
    "check_idempotent": (lambda w: w / 2, ()),
    "check_monotone": (lambda w: np.where(w > 1.5, 0, good(w)), ()),
    "check_odd": (lambda w: np.where(w == W[1], 0, good(w)), ()),
    "check_nearest": (lambda w: np.sign(w), (TERNARY, 1.0)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_check_passes_a_good_quantizer_and_fails_a_broken_one(name):
    check, (broken, rest) = getattr(checks, name), BROKEN[name]
    check(good, W, *rest)
    with pytest.raises(AssertionError):
        check(broken, W, *rest)


@pytest.mark.parametrize("levels", [(-1, 0, 1, 2, 3), (0, -1), (0, 0, 1)])
def test_check_of_levels_fails_too(levels):
    checks.check_few_levels(TERNARY, bits=2)
    with pytest.raises(AssertionError):
        checks.check_few_levels(levels, bits=2)
