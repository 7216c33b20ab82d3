"""Compression of values other than 0 and 1 for SpikingJelly's `memopt`."""

from __future__ import annotations

from typing import NamedTuple

import torch
from spikingjelly.activation_based.memopt import SpikeCompressor
from torch import Tensor
from torch.nn import functional as F

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import check_bits
from qsnn_plugins.functional.spike import MOST_SPIKE_BITS

__all__ = ["LevelCompressor", "Packed"]


class Packed(NamedTuple):
    """A tensor with few different values.

    Args:
        codes: Indices into `levels`, `bits` bits each, uint8 of shape [ceil(n bits / 8)].
        levels: The values that occur, ascending, in the tensor's dtype.
        shape: Shape of the tensor, of n elements.
    """

    codes: Tensor
    levels: Tensor
    shape: torch.Size


class LevelCompressor(SpikeCompressor):
    """Packs tensors of at most 2^bits different values into `bits` bits per element, losslessly.

    Use it for ternary spikes and states (2 bits) and for S-bit spikes (S bits), also if they are
    scaled. SpikingJelly's own compressors support only 0 and 1 and change other values. Pass it to
    `memopt.checkpoint_module(module, compressor=...)` for a module with such an input.
    `memopt.optimize_memory` only chooses among its own compressors, and leaves inputs that are not
    binary uncompressed.

    Args:
        bits: Bits per element, from 1 to 16.

    Raises:
        ArgumentError: If `bits` is not allowed; at `compress`, if there are more values.

    Example:
        >>> compressor = LevelCompressor(bits=2)
        >>> x = torch.tensor([-1.0, 0.0, 1.0, 1.0, -1.0])
        >>> packed = compressor.compress(x)
        >>> packed.codes.numel(), compressor.decompress(packed)
        (2, tensor([-1.,  0.,  1.,  1., -1.]))
    """

    def __init__(self, bits: int = 2) -> None:
        check_bits("bits", bits, most=MOST_SPIKE_BITS)
        self.bits = bits

    def compress(self, x: Tensor) -> Packed:
        """Return the packed form of a tensor of any shape."""
        levels, codes = torch.unique(x.detach(), return_inverse=True)
        if len(levels) > 2**self.bits:
            allowed = (
                f"a tensor of at most {2**self.bits} values: LevelCompressor(bits={self.bits})"
            )
            raise ArgumentError("x (different values)", len(levels), allowed)
        places = torch.arange(self.bits, device=x.device)
        binary = (codes.reshape(-1, 1) >> places & 1).reshape(-1)
        octets = F.pad(binary, (0, -binary.numel() % 8)).reshape(-1, 8)
        weights = 2 ** torch.arange(8, device=x.device)
        return Packed((octets * weights).sum(1).to(torch.uint8), levels, x.shape)

    def decompress(self, packed: Packed) -> Tensor:
        """Return the original tensor, bit for bit except for the sign of zeros."""
        octets = torch.arange(8, device=packed.codes.device)
        binary = (packed.codes.unsqueeze(1) >> octets & 1).reshape(-1)
        count = packed.shape.numel()
        places = 2 ** torch.arange(self.bits, device=packed.codes.device)
        codes = (binary[: count * self.bits].reshape(count, self.bits) * places).sum(1)
        return packed.levels[codes].reshape(packed.shape)
