import pytest
import torch

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import (
    RELEASED_LEVELS,
    TERNARY,
    encode,
    nearest_level,
    pruned_level,
    threshold_centred_levels,
    uniform_levels,
    uniform_membrane,
)

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("levels", [TERNARY, RELEASED_LEVELS, (-0.3, 0.1, 0.7)], ids=len)
def test_codes_of_levels_come_back_bit_by_bit(levels, dtype):
    u = torch.randn(7, 90).to(dtype) * 2
    q = nearest_level(u, levels)
    codes = encode(q, levels)
    assert codes.codes.dtype == torch.uint8
    assert set(codes.codes.unique().tolist()) == set(range(len(levels)))
    assert torch.equal(codes.decode(), q)
    assert codes.decode().dtype == dtype


@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_of_threshold_centred_levels_come_back(bits):
    levels = threshold_centred_levels(bits)
    q = nearest_level(torch.linspace(-2, 2, 4001), levels)
    assert torch.equal(encode(q, levels).decode(), q)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 0.3, 1.7, 1e-6, 31.9])
@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_of_k_bits_come_back_bit_by_bit(bits, scale, dtype):
    scale = torch.tensor(scale)
    u = torch.randn(4000).to(dtype) * scale.to(dtype)
    q = uniform_membrane(u, scale, bits)
    codes = encode(q, uniform_levels(bits), scale)
    assert codes.codes.max().item() < 2**bits
    assert torch.equal(codes.decode(), q)


def test_a_silent_layer_has_codes():
    q = uniform_membrane(torch.zeros(3), torch.zeros(()), 4)
    codes = encode(q, uniform_levels(4), torch.zeros(()))
    assert codes.codes.tolist() == [7, 7, 7]
    assert torch.equal(codes.decode(), q)


def test_the_pruned_ternary_membrane_is_one_bit():
    q = pruned_level(torch.randn(100))
    assert set(encode(q, (0, 1)).codes.tolist()) == {0, 1}


def test_many_levels_take_wider_codes():
    levels = tuple(range(300))
    q = nearest_level(torch.tensor([0.0, 299.0, 256.2]), levels)
    codes = encode(q, levels)
    assert codes.codes.tolist() == [0, 299, 256]
    assert torch.equal(codes.decode(), q)


@pytest.mark.parametrize("value", [float("nan"), 0.4, 2.0])
def test_what_is_at_no_level_has_no_code(value):
    with pytest.raises(ArgumentError, match="membranes that are at the levels"):
        encode(torch.tensor([1.0, value]), TERNARY)


@pytest.mark.parametrize("scale", [2.0, torch.tensor([1.0, 2.0]), torch.tensor(2), "2"])
def test_what_is_no_scale_is_refused(scale):
    with pytest.raises(ArgumentError, match=r"scale=.* a scalar tensor of a float, or None"):
        encode(torch.tensor([2.0, 0.0]), TERNARY, scale)
