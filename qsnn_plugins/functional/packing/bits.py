"""Packing of low-bit codes into bytes without gaps, and unpacking."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError

__all__ = ["pack_codes", "packed_bytes", "place_in_levels", "unpack_codes"]

_BYTE = 8


def packed_bytes(count: int, bits: int) -> int:
    """Number of bytes for `count` codes of `bits` bits, rounded up.

    Args:
        count: Number of codes, from 0.
        bits: Bits a code, from 1.

    Returns:
        Bytes, an integer; a scalar, shape ().

    Raises:
        ArgumentError: If `count` or `bits` is not allowed.

    Example:
        >>> packed_bytes(9, bits=3)
        4
    """
    for argument, value, least in (("count", count, 0), ("bits", bits, 1)):
        if type(value) is not int or value < least:
            raise ArgumentError(argument, value, f"an integer from {least}")
    return -(-count * bits // _BYTE)


def pack_codes(codes: Tensor, bits: int) -> Tensor:
    """Pack unsigned codes into bytes, the least significant bit first.

    Args:
        codes: Integers from 0 to 2^bits - 1, any shape.
        bits: Bits a code, from 1 to 32.

    Returns:
        uint8, shape [packed_bytes(codes.numel(), bits)].

    Raises:
        ArgumentError: If `bits` is not allowed, or a code does not fit into them.

    Example:
        >>> pack_codes(torch.tensor([1, 2, 0, 3]), bits=2)
        tensor([201], dtype=torch.uint8)
    """
    _check_bits(bits)
    flat = _whole(codes).flatten()
    if flat.numel() and not 0 <= int(flat.min()) <= int(flat.max()) < 2**bits:
        span = f"{int(flat.min())}..{int(flat.max())}"
        allowed = f"integers from 0 to {2**bits - 1}, which {bits} bits hold"
        raise ArgumentError("codes", span, allowed)
    if _BYTE % bits == 0:  # whole codes in a byte
        gap = -len(flat) % (_BYTE // bits)
        rows = torch.cat([flat, flat.new_zeros(gap)]).to(torch.uint8).reshape(-1, _BYTE // bits)
        return (rows << torch.arange(0, _BYTE, bits, dtype=torch.uint8, device=flat.device)).sum(
            1, dtype=torch.uint8
        )
    stream = (flat.unsqueeze(1) >> torch.arange(bits, device=flat.device) & 1).flatten()
    gap = -len(stream) % _BYTE
    octets = torch.cat([stream, stream.new_zeros(gap)]).reshape(-1, _BYTE)
    return (octets << torch.arange(_BYTE, device=flat.device)).sum(1).to(torch.uint8)


def unpack_codes(packed: Tensor, bits: int, shape: Sequence[int]) -> Tensor:
    """Undo `pack_codes`.

    Args:
        packed: Bytes, uint8, shape [B].
        bits: Bits a code, from 1 to 32.
        shape: Shape of the codes.

    Returns:
        Codes, int64, of that shape.

    Raises:
        ArgumentError: If `bits` or `shape` is not allowed, or the bytes are those of other codes.

    Example:
        >>> unpack_codes(torch.tensor([201], dtype=torch.uint8), bits=2, shape=(2, 2))
        tensor([[1, 2],
                [0, 3]])
    """
    _check_bits(bits)
    if any(size < 0 for size in shape):
        raise ArgumentError("shape", tuple(shape), "sizes from 0")
    count = torch.Size(shape).numel()
    expected = packed_bytes(count, bits)
    if packed.dtype != torch.uint8 or tuple(packed.shape) != (expected,):
        given = f"{packed.dtype} {list(packed.shape)}"
        raise ArgumentError("packed", given, f"uint8 [{expected}]: {count} codes of {bits} bits")
    if _BYTE % bits == 0:  # whole codes in a byte
        shifts = torch.arange(0, _BYTE, bits, dtype=torch.uint8, device=packed.device)
        codes = packed.unsqueeze(1) >> shifts & (2**bits - 1)
        return codes.flatten()[:count].long().reshape(tuple(shape))
    octets = packed.long().unsqueeze(1) >> torch.arange(_BYTE, device=packed.device) & 1
    stream = octets.flatten()[: count * bits].reshape(count, bits)
    return (stream << torch.arange(bits, device=packed.device)).sum(1).reshape(tuple(shape))


def place_in_levels(codes: Tensor, levels: Sequence[int]) -> Tensor:
    """Index of each signed code among the levels of a quantizer, as a memory stores it.

    Args:
        codes: Integers of `levels`, any shape, as a weight quantizer's `codes` returns them.
        levels: Integers that may occur, in ascending order.

    Returns:
        Places from 0, int64, shape of `codes`; `torch.tensor(levels)[places]` are the codes.

    Raises:
        ArgumentError: If the levels do not ascend, or a code is not one of them.

    Example:
        >>> place_in_levels(torch.tensor([-1, 4, 0]), (-4, -1, 0, 1, 4))
        tensor([1, 4, 2])
    """
    if len(levels) == 0 or any(not a < b for a, b in itertools.pairwise(levels)):
        raise ArgumentError("levels", tuple(levels), "one or more integers in ascending order")
    whole = _whole(codes).contiguous()  # torch copies it otherwise, and warns
    table = torch.tensor(tuple(levels), device=codes.device)
    places = torch.searchsorted(table, whole).clamp(max=len(table) - 1)
    others = table[places] != whole
    if others.any():
        raise ArgumentError("codes", int(whole[others][0]), f"integers among {tuple(levels)}")
    return places


def _whole(codes: Tensor) -> Tensor:
    """Return codes as int64, or say that they are no whole numbers."""
    if isinstance(codes, Tensor) and not codes.is_complex():
        whole = codes.long()
        if not codes.is_floating_point() or torch.equal(whole.to(codes.dtype), codes):
            return whole
    given = str(codes.dtype) if isinstance(codes, Tensor) else codes
    raise ArgumentError("codes", given, "integers, or floats that are whole numbers")


def _check_bits(bits: int) -> None:
    if type(bits) is not int or not 1 <= bits <= 32:
        raise ArgumentError("bits", bits, "an integer from 1 to 32")
