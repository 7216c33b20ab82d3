"""One quantized weight as packed bytes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qsnn_plugins.functional.packing.bits import pack_codes, place_in_levels, unpack_codes
from qsnn_plugins.nn.weight import WeightQuantizer

__all__ = ["PackedWeight", "pack_weight"]


@dataclass(frozen=True)
class PackedWeight:
    """A quantized weight, packed into its bits.

    Args:
        packed: Bytes, uint8, shape [B].
        bits: Bits per weight.
        levels: Codes that may occur, ascending; the packed values are indices into them.
        shape: Shape of the weight.
        unit: Factor of the codes: a scalar, or one value per output channel.
        dtype: Dtype of the weight.

    Example:
        >>> from qsnn_plugins.nn import layer_quantizer, quantize_weights
        >>> from qsnn_plugins.spec import WeightSpec
        >>> layer = torch.nn.Linear(9, 3)
        >>> _ = quantize_weights(layer, WeightSpec(kind="uniform", bits=3))
        >>> packed = pack_weight(layer_quantizer(layer), layer.parametrizations.weight.original)
        >>> packed.packed.numel(), torch.equal(packed.unpack(), layer.weight)  # 27 * 3 / 8
        (11, True)
    """

    packed: Tensor
    bits: int
    levels: tuple[int, ...]
    shape: torch.Size
    unit: Tensor
    dtype: torch.dtype

    def unpack(self) -> Tensor:
        """Return the exact quantized weight, of shape `shape`."""
        places = unpack_codes(self.packed, self.bits, self.shape)
        codes = torch.tensor(self.levels, device=places.device)[places]
        return (codes * self.unit).to(self.dtype)


def pack_weight(quantizer: WeightQuantizer, weight: Tensor) -> PackedWeight:
    """Pack one weight.

    Args:
        quantizer: The layer's weight quantizer.
        weight: The float weight that it quantizes, any shape.

    Returns:
        The packed codes and what is needed to unpack them.
    """
    weight = weight.detach()
    codes, unit = quantizer.codes(weight)
    unit = torch.as_tensor(unit).detach()  # a learned one has a gradient
    levels = tuple(quantizer.levels)
    packed = pack_codes(place_in_levels(codes, levels), quantizer.bits)
    return PackedWeight(packed, quantizer.bits, levels, weight.shape, unit, weight.dtype)
