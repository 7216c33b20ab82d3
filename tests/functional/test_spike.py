import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import (
    distance,
    heaviside,
    limit_sums,
    limited_attention,
    multi_bit_primitive,
    multi_bit_spike,
    reset,
)


def test_one_bit_fires_at_zero_or_above_it():
    x = torch.tensor([-1e-9, 0.0, 1e-9])
    assert heaviside(x).tolist() == [0, 1, 1]
    assert heaviside(x, fires_at_zero=False).tolist() == [0, 0, 1]


@pytest.mark.parametrize("fires_at_zero", [True, False])
@pytest.mark.parametrize("bits", [*range(1, 9), 11, 16])
@pytest.mark.parametrize("threshold", [1.0, 0.5, 3.0])
def test_several_bits_count_the_threshold(bits, threshold, fires_at_zero):
    """Bit budget Eq. 7, clipped; multiples of the threshold included."""
    rng = np.random.default_rng(bits)
    h = np.round(rng.uniform(-2, 2**bits + 2, 2000) * 16) / 16
    h = np.append(h, [-0.0625, 2**bits - 1, 2**bits - 0.0625, 2**bits]) * threshold
    greatest = 2**bits - 1
    count = np.floor(h / threshold) if fires_at_zero else np.ceil(h / threshold) - 1
    x = torch.tensor(h - threshold)
    spikes = multi_bit_spike(x, threshold, bits, fires_at_zero)
    assert np.array_equal(spikes.numpy(), np.clip(count, 0, greatest))
    assert {0, greatest} <= set(spikes.tolist())


def test_one_bit_of_several_is_the_one_bit_spike():
    x = torch.randn(1000)
    assert torch.equal(multi_bit_spike(x, 0.7, bits=1), heaviside(x))


@given(
    bits=st.integers(1, 8),
    threshold=st.floats(0.1, 5.0),
    values=st.lists(st.floats(-50, 50), min_size=1, max_size=20),
)
@settings(max_examples=100, deadline=None)
def test_counts_are_monotone_and_within_their_bits(bits, threshold, values):
    x = torch.tensor(sorted(values), dtype=torch.float64)
    spikes = multi_bit_spike(x, threshold, bits)
    assert (spikes.diff() >= 0).all()
    assert set(spikes.tolist()) <= set(range(2**bits))


@pytest.mark.parametrize("bits", [1, 2, 4, 16])
def test_gradient_of_several_bits_is_that_of_its_primitive(bits):
    rng = np.random.default_rng(3)
    h, threshold, step = rng.uniform(-2, 2.0**bits + 3, 500), 0.8, 1e-6
    h = h[(np.abs(h) > 1e-3) & (np.abs(h - 2**bits * threshold) > 1e-3)]

    def ramp(h, threshold):
        return multi_bit_primitive(torch.tensor(h - threshold), threshold, bits).numpy()

    along_h = (ramp(h + step, threshold) - ramp(h - step, threshold)) / (2 * step)
    along_threshold = (ramp(h, threshold + step) - ramp(h, threshold - step)) / (2 * step)
    leaf = torch.tensor(h, requires_grad=True)
    learned = torch.tensor(threshold, dtype=torch.float64, requires_grad=True)
    upstream = rng.normal(size=h.shape)
    spikes = multi_bit_spike(distance(leaf, learned, "ordinary"), learned, bits)
    spikes.backward(torch.tensor(upstream))
    np.testing.assert_allclose(leaf.grad.numpy(), upstream * along_h, rtol=1e-5, atol=1e-7)
    inside = (h >= 0) & (h < 2**bits * threshold)
    closed = upstream * inside * -h / threshold**2
    np.testing.assert_allclose(closed, upstream * along_threshold, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(learned.grad.item(), closed.sum(), rtol=1e-10)


def test_value_times_threshold_has_the_gradient_of_a_learned_step():
    """s V_th moves with V_th by the count less h / V_th inside, by the greatest count beyond."""
    h = np.array([-1.0, 0.5, 1.9, 2.6, 40.0])
    learned = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    spikes = multi_bit_spike(distance(torch.tensor(h), learned, "ordinary"), learned, 2)
    (spikes * learned).sum().backward()
    count = np.clip(np.floor(h / 0.8), 0, 3)
    inside = (h >= 0) & (h < 3.2)
    assert learned.grad.item() == pytest.approx((count - inside * h / 0.8).sum())


def test_separate_path_counts_what_fired_through_its_window():
    """SpQuant-SNN Eq. 27 with the straight-through slope 1 / V_th in the triangle's place."""
    h = np.random.default_rng(5).uniform(-1, 5, 400)
    learned = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    upstream = np.random.default_rng(6).normal(size=h.shape)
    x = distance(torch.tensor(h), learned, "separate")
    multi_bit_spike(x, learned.detach(), 2).backward(torch.tensor(upstream))
    inside = (h >= 0) & (h < 3.2)
    window = (h >= 0.8) / (1 + np.exp(-(h - 0.8)))
    assert learned.grad.item() == pytest.approx(-(upstream * inside / 0.8 * window).sum())


def test_hard_reset_acts_where_anything_was_fired_and_soft_reset_subtracts_all():
    h = torch.tensor([-0.5, 0.4, 1.2, 2.6, 9.0])
    s = multi_bit_spike(h - 1.0, bits=2)
    assert s.tolist() == [0, 0, 1, 2, 3]
    assert torch.equal(reset(h, s, v_reset=0.25), torch.tensor([-0.5, 0.4, 0.25, 0.25, 0.25]))
    torch.testing.assert_close(
        reset(h, s, v_reset=None), torch.tensor([-0.5, 0.4, 0.2, 0.6, 6.0]), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_dtype_is_kept(dtype):
    x = torch.linspace(-2, 6, 30, dtype=dtype, requires_grad=True)
    spikes = multi_bit_spike(x, 1.0, 2)
    spikes.sum().backward()
    assert spikes.dtype == x.grad.dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 0}, "bits=0 is not allowed: give an integer from 1 to 16"),
        ({"bits": 17}, "bits=17"),
        ({"bits": 2.0}, r"bits=2\.0"),
        ({"step": 0.0}, r"step=0\.0 is not allowed: give a number above 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        multi_bit_spike(torch.zeros(1), **arguments)


@pytest.mark.parametrize("unit", [1.0, 0.5])
@pytest.mark.parametrize("bits", [1, 2, 8, 16])
def test_sums_are_limited_to_the_bits_of_a_spike(bits, unit):
    """Bit budget, section 6.3: sums of two spikes by numpy; the gradient is 1 within."""
    rng, greatest = np.random.default_rng(bits), 2**bits - 1
    sums = rng.integers(0, greatest + 1, (2, 3000)).sum(0) - 1.0  # IAND may be below 0
    sums[:3] = 0, greatest, greatest + 1
    upstream = rng.normal(size=sums.shape)
    x = torch.tensor(sums * unit, requires_grad=True)
    y = limit_sums(x, bits, unit)
    y.backward(torch.tensor(upstream))
    assert np.array_equal(y.detach().numpy(), np.minimum(np.maximum(sums, 0), greatest) * unit)
    assert np.array_equal(x.grad.numpy(), upstream * ((sums >= 0) & (sums <= greatest)))


@pytest.mark.parametrize("unit", [1.0, 0.5])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_attention_matrices_are_limited_to_the_bits_of_a_spike(bits, unit):
    """clip(Q K^T) V, forward and backward written out in numpy."""
    rng, scale = np.random.default_rng(bits), 0.125
    q, k, v = rng.integers(0, 2**bits, (3, 2, 5, 6)) * unit
    q *= rng.random(q.shape) < 2 / 2**bits
    upstream, limit = rng.normal(size=v.shape), (2**bits - 1) * unit**2
    products = np.einsum("bid,bjd->bij", q, k)
    clipped = np.where(products > limit, limit, products)
    grad_matrix = np.einsum("bid,bjd->bij", upstream, v) * scale * (products <= limit)
    leaves = [torch.tensor(a, requires_grad=True) for a in (q, k, v)]
    y = limited_attention(*leaves, bits, unit, scale)
    y.backward(torch.tensor(upstream))
    assert 0.1 < (products > limit).mean() < 1
    assert np.array_equal(y.detach().numpy(), np.einsum("bij,bjd->bid", clipped, v) * scale)
    expected = (
        np.einsum("bij,bjd->bid", grad_matrix, k),
        np.einsum("bij,bid->bjd", grad_matrix, q),
        np.einsum("bij,bid->bjd", clipped, upstream) * scale,
    )
    for leaf, grad in zip(leaves, expected, strict=True):
        np.testing.assert_allclose(leaf.grad.numpy(), grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("x", "arguments", "message"),
    [
        (torch.zeros(1), {"bits": 17}, "bits=17 is not allowed: give an integer from 1 to 16"),
        (torch.zeros(1), {"bits": 2, "unit": 0.0}, r"unit=0\.0 is not allowed"),
        (torch.zeros(1, dtype=torch.int32), {"bits": 2}, r"x\.dtype=torch\.int32"),
        (torch.zeros(1, dtype=torch.bfloat16), {"bits": 9}, r"x\.dtype=torch\.bfloat16"),
    ],
)
def test_bad_limits_are_named(x, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        limit_sums(x, **arguments)


def test_counts_of_integer_membranes_are_refused_by_name():
    with pytest.raises(ArgumentError, match=r"x\.dtype=torch\.int32.*floating point"):
        multi_bit_spike(torch.ones(2, dtype=torch.int32), bits=2)
