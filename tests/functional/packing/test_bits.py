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
    with pytest.raises(ArgumentError, match=r"integers from 0 to 3, which 2 bits hold$"):
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
    with pytest.raises(ArgumentError, match=r"codes=5 .* integers among"):
        place_in_levels(torch.tensor([0, 5]), (-4, -1, 0, 1, 4))


def test_floats_are_packed_only_where_they_are_whole():
    assert torch.equal(pack_codes(torch.tensor([1.0, 2.0]), 2), pack_codes(torch.tensor([1, 2]), 2))
    with pytest.raises(ArgumentError, match="whole numbers"):
        pack_codes(torch.tensor([1.7, 0.2]), 2)


@pytest.mark.parametrize("codes", [[1.5, -0.7], [float("nan")], [1j]])
def test_what_is_no_whole_number_has_neither_bits_nor_a_place(codes):
    for use in (lambda x: pack_codes(x, 2), lambda x: place_in_levels(x, (-1, 0, 1))):
        for argument in (torch.tensor(codes), codes):
            with pytest.raises(ArgumentError, match=r"codes=.* or floats that are whole numbers"):
                use(argument)


@pytest.mark.parametrize("levels", [(), (3, 1), (1, 1)])
def test_levels_that_do_not_ascend_are_refused(levels):
    with pytest.raises(ArgumentError, match=r"levels=.* one or more integers in ascending order"):
        place_in_levels(torch.tensor([3]), levels)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pack_codes(torch.tensor([1, 0]), True), "bits=True"),
        (lambda: packed_bytes(9, 0), "bits=0"),
        (lambda: packed_bytes(9, True), "bits=True"),
        (lambda: packed_bytes(-1, 2), "count=-1"),
        (lambda: unpack_codes(torch.zeros(1).byte(), 2, (-1,)), r"shape=\(-1,\)"),
    ],
)
def test_numbers_are_checked(call, words):
    with pytest.raises(ArgumentError, match=f"{words} is not allowed"):
        call()
