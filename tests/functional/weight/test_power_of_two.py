"""The grids and their quantizer against numpy in float64, written from the printed equations."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import (
    additive_power_of_two,
    additive_power_of_two_codes,
    additive_power_of_two_grid,
    power_of_two,
    power_of_two_codes,
    power_of_two_grid,
    round_to_power_of_two,
)
from qsnn_plugins.functional.weight.power_of_two import additive_integers, power_of_two_integers
from tests.functional import quantizer_checks as checks

KINDS = {
    "power_of_two": (power_of_two, power_of_two_codes, power_of_two_integers),
    "additive": (additive_power_of_two, additive_power_of_two_codes, additive_integers),
}

# the exponents of each term of an additive grid: for 4 and 6 bits as in APoT's code, for 3, 5 and
# 7 bits from the paper's p_i = {0, 2^-i, 2^-(i+n), 2^-(i+2n)}
TERMS = {
    2: [[1]],
    3: [[1, 2, 3]],
    4: [[1, 2, 4], [3]],
    5: [[1, 3, 5], [2, 4, 6]],
    6: [[1, 3, 6], [2, 4, 7], [5]],
    7: [[1, 4, 7], [2, 5, 8], [3, 6, 9]],
    8: [[1, 4, 8], [2, 5, 9], [3, 6, 10], [7]],
}


def eq_17(bits):
    """SpQuant-SNN Eq. 17, magnitudes."""
    return np.array(sorted([0.0] + [2.0**-i for i in range(2 ** (bits - 1) - 1)]))


def additive_reference(bits):
    sums = {
        sum(choice)
        for choice in itertools.product(*([0.0] + [2.0**-e for e in t] for t in TERMS[bits]))
    }
    values = np.array(sorted(sums))
    return values / values.max()


def quantize_reference(w, alpha, grid):
    """Eq. 15, 16 and 18 by trying every level; the first of two equally close ones wins."""
    c = np.clip(w / alpha, -1, 1)
    chosen = np.abs(np.abs(c)[..., None] - grid).argmin(-1)
    return alpha * np.sign(c) * grid[chosen]


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_grid_is_eq_17(bits):
    np.testing.assert_array_equal(power_of_two_grid(bits), eq_17(bits))


def test_exponent_is_capped_and_five_bits_reach_the_cap():
    np.testing.assert_array_equal(power_of_two_grid(5), eq_17(5))
    assert power_of_two_grid(5)[1] == 2.0**-14
    for bits in (6, 7, 8):
        assert power_of_two_grid(bits) == power_of_two_grid(5)


@pytest.mark.parametrize("bits", range(2, 9))
def test_additive_grid_is_that_of_the_paper(bits):
    grid = additive_power_of_two_grid(bits)
    np.testing.assert_allclose(grid, additive_reference(bits), rtol=1e-15)
    assert 2 * len(grid) - 1 == 2**bits - 1


@pytest.mark.parametrize(
    ("quantize", "grid"),
    [
        (power_of_two, eq_17),
        (additive_power_of_two, additive_reference),
    ],
)
@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("alpha", [0.25, 0.7, 3.0])
def test_forward_and_backward_are_the_printed_ones(quantize, grid, bits, alpha):
    rng = np.random.default_rng(bits)
    w, upstream = rng.normal(size=(5, 7, 3)), rng.normal(size=(5, 7, 3))
    x = torch.tensor(w, requires_grad=True)
    a = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
    q = quantize(x, a, bits)
    q.backward(torch.tensor(upstream))
    expected = quantize_reference(w, alpha, grid(bits))
    np.testing.assert_allclose(q.detach().numpy(), expected, rtol=1e-14)
    np.testing.assert_array_equal(x.grad.numpy(), upstream)
    # section 0.4: sum g [sgn(c) 1(|w/a| > 1) + (q - w/a) 1(|w/a| <= 1)]
    ratio = w / alpha
    slope = np.where(np.abs(ratio) > 1, np.sign(ratio), expected / alpha - ratio)
    np.testing.assert_allclose(a.grad.item(), (upstream * slope).sum(), rtol=1e-12)


@pytest.mark.parametrize("sign", [-1, 1])
def test_ties_go_to_the_smaller_magnitude(sign):
    w, alpha = sign * torch.tensor([0.25, 0.75, 1.5]), torch.tensor(2.0)
    assert power_of_two(w, alpha, 3).tolist() == [0, sign * 0.5, sign * 1.0]


def test_scale_of_a_channel_gathers_its_own_gradient():
    w = torch.tensor([[2.0, 0.3], [-4.0, 0.1]], dtype=torch.float64)
    alpha = torch.tensor([[1.0], [2.0]], dtype=torch.float64, requires_grad=True)
    power_of_two(w, alpha, 2).sum().backward()
    np.testing.assert_allclose(alpha.grad.numpy(), [[1 - 0.3], [-1 - 0.05]])


@given(alpha=st.floats(2.0**-13, 2.0**13))
def test_scale_rounds_in_the_logarithm(alpha):
    expected = 2.0 ** np.round(np.log2(alpha))
    assert round_to_power_of_two(torch.tensor(alpha, dtype=torch.float64)).item() == expected


def test_rounded_scale_passes_its_gradient_straight_through():
    alpha = torch.tensor(3.0, requires_grad=True)
    (round_to_power_of_two(alpha) * 5).backward()
    assert alpha.grad.item() == 5


@pytest.mark.parametrize("kind", KINDS)
@given(w=checks.WEIGHTS, alpha=checks.SCALES, bits=st.integers(2, 8))
def test_properties(kind, w, alpha, bits):
    function, codes_of, integers = KINDS[kind]
    scale = torch.tensor(alpha, dtype=torch.float32)
    levels = [*(-i for i in reversed(integers(bits)[1:])), *integers(bits)]

    def quantize(x):
        return function(torch.tensor(x), scale, bits).numpy()

    codes, unit = codes_of(torch.tensor(w), scale, bits)
    checks.check_few_levels(levels, bits)
    checks.check_on_grid(quantize, w, levels, unit.item())
    checks.check_idempotent(quantize, w)
    checks.check_monotone(quantize, w)
    checks.check_odd(quantize, w)
    checks.check_nearest(quantize, w, levels, unit.item())
    assert codes.dtype == torch.int32
    assert set(codes.tolist()) <= set(levels)
    np.testing.assert_array_equal((codes * unit).numpy(), quantize(w))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept_and_codes_give_the_same_weight(kind, dtype):
    function, codes_of, _ = KINDS[kind]
    w, alpha = torch.linspace(-3, 3, 41, dtype=dtype), torch.tensor(2.0**-11)
    for bits in (2, 4, 5, 8):
        q = function(w, alpha, bits)
        codes, unit = codes_of(w, alpha, bits)
        assert q.dtype == dtype
        assert torch.equal((codes * unit).to(dtype), q)


@pytest.mark.parametrize("kind", KINDS)
def test_nan_stays_and_has_no_code(kind):
    function, codes_of, _ = KINDS[kind]
    w = torch.tensor([float("nan"), 1.0])
    assert function(w, torch.tensor(1.0), 4).isnan().tolist() == [True, False]
    with pytest.raises(ArgumentError, match="finite"):
        codes_of(w, torch.tensor(1.0), 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [0, 1, 9, 2.5, True, "4"])
def test_bits_that_are_refused(kind, bits):
    with pytest.raises(ArgumentError, match="bits="):
        KINDS[kind][0](torch.ones(1), torch.tensor(1.0), bits)


@pytest.mark.parametrize("kind", KINDS)
def test_integer_weights_are_refused(kind):
    with pytest.raises(ArgumentError, match=r"w\.dtype"):
        KINDS[kind][0](torch.ones(1, dtype=torch.int64), torch.tensor(1.0), 4)


class Conversions(TorchDispatchMode):
    """Counts the tensors that are converted."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket is torch.ops.aten._to_copy
        return func(*args, **(kwargs or {}))


def test_the_table_of_a_grid_is_not_converted_in_each_call():
    with Conversions() as found:
        power_of_two(torch.randn(4, 3), torch.tensor(1.0), bits=5)
    assert found.count == 1  # places to look up, of the weight's size
