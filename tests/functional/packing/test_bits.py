"""The packer against numpy's packbits, and there and back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import pack_codes, packed_bytes, place_in_levels, unpack_codes


def packed_by_numpy(codes, bits):
    places = (codes[:, None] >> np.arange(bits)) & 1
    return np.packbits(places.astype(np.uint8).ravel(), bitorder="little")


@given(bits=st.integers(1, 12), count=st.integers(0, 40), seed=st.integers(0, 9))
def test_bytes_are_those_of_numpy_and_come_back(bits, count, seed):
    codes = np.random.default_rng(seed).integers(0, 2**bits, count)
    packed = pack_codes(torch.from_numpy(codes), bits)
    expected = packed_by_numpy(codes, bits)
    assert packed.tolist() == expected.tolist()
    assert packed.numel() == packed_bytes(count, bits) == expected.nbytes
    assert unpack_codes(packed, bits, (count,)).tolist() == codes.tolist()


def test_a_code_that_does_not_fit_is_refused():
    with pytest.raises(ArgumentError, match="integers from 0 to 3"):
        pack_codes(torch.tensor([0, 4]), bits=2)
    with pytest.raises(ArgumentError, match=r"-1\.\.0"):
        pack_codes(torch.tensor([0, -1]), bits=2)


def test_bytes_of_other_codes_are_refused():
    packed = pack_codes(torch.tensor([1, 2, 3, 0, 1]), bits=2)
    with pytest.raises(ArgumentError, match="9 codes of 2 bits"):
        unpack_codes(packed, bits=2, shape=(9,))
    with pytest.raises(ArgumentError, match="bits"):
        unpack_codes(packed, bits=0, shape=(9,))


def test_a_code_outside_the_levels_is_refused():
    with pytest.raises(ArgumentError, match="integers among"):
        place_in_levels(torch.tensor([2]), (-4, -1, 0, 1, 4))
    with pytest.raises(ArgumentError, match="integers among"):
        place_in_levels(torch.tensor([5]), (-4, -1, 0, 1, 4))


def test_floats_are_packed_only_where_they_are_whole():
    assert torch.equal(pack_codes(torch.tensor([1.0, 2.0]), 2), pack_codes(torch.tensor([1, 2]), 2))
    with pytest.raises(ArgumentError, match="whole numbers"):
        pack_codes(torch.tensor([1.7, 0.2]), 2)
