"""Quantized weights and membranes of a network as packed bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.packing.bits import pack_codes, place_in_levels, unpack_codes
from qsnn_plugins.functional.packing.codes import Codes
from qsnn_plugins.nn import stored_quantizer, stored_weight
from qsnn_plugins.nn.packed_weight import PackedWeight, pack_weight
from qsnn_plugins.spec.custom import is_close

__all__ = ["PackedMembrane", "PackedWeight", "pack_membrane", "pack_weights"]


def pack_weights(network: nn.Module) -> dict[str, PackedWeight]:
    """Pack the weights of all layers with a weight quantizer.

    Args:
        network: Any network.

    Returns:
        Packed weights by layer name, without layers that have float weights.

    Example:
        >>> pack_weights(nn.Linear(2, 2))
        {}
    """
    packed = {}
    for name, layer in network.named_modules():
        if (quantizer := stored_quantizer(layer)) is not None:
            packed[name] = pack_weight(quantizer, stored_weight(layer))
    return packed


@dataclass(frozen=True)
class PackedMembrane:
    """Stored membranes of one layer, packed into whole bits.

    Args:
        packed: Bytes, uint8, shape [B].
        bits: Bits per membrane.
        shape: Shape of the membranes.
        codes: Turns codes back into membranes; its own codes are not used.

    Example:
        >>> from qsnn_plugins.nn import membrane_quantizer
        >>> from qsnn_plugins.spec import MembraneSpec
        >>> quantizer = membrane_quantizer(MembraneSpec())
        >>> packed = pack_membrane(quantizer, quantizer(torch.tensor([0.9, -2.0, 0.1, 0.0, 1.0])))
        >>> packed.packed.numel(), packed.unpack()
        (2, tensor([ 1., -1.,  0.,  0.,  1.]))
    """

    packed: Tensor
    bits: int
    shape: torch.Size
    codes: Codes

    def unpack(self) -> Tensor:
        """Return the exact stored membranes, of shape `shape`."""
        places = unpack_codes(self.packed, self.bits, self.shape)
        return self.codes._replace(codes=places).decode()


def pack_membrane(quantizer: nn.Module, q: Tensor) -> PackedMembrane:
    """Pack stored membranes.

    Args:
        quantizer: The `membrane` of a neuron that stores codes: a module of `nn`, or a custom one
            whose `codes(q)` returns integers and their unit.
        q: Membranes returned by the quantizer, any shape.

    Returns:
        The packed membranes.

    Raises:
        ArgumentError: If the quantizer stores no codes, or `q` is not one of its results, as the
            membranes of snnTorch's delayed reset are not: they have a further code.

    Example:
        >>> from qsnn_plugins.spikingjelly import TernaryLIFNode
        >>> node = TernaryLIFNode()
        >>> _ = node(torch.rand(3, 8))
        >>> torch.equal(pack_membrane(node.membrane, node.v).unpack(), node.v)
        True
    """
    module: Any = quantizer
    if hasattr(module, "encode"):
        codes: Codes = module.encode(q)
    elif hasattr(module, "codes"):
        integers, unit = module.codes(q.detach())
        levels = tuple(getattr(module, "levels", None) or integers.unique().tolist())
        unit = torch.as_tensor(unit).detach().reshape(())
        codes = Codes(place_in_levels(integers, levels), levels, unit, q.dtype)
        if not is_close(codes.decode(), q, unit):
            raise ArgumentError("q", list(q.shape), "membranes that this quantizer stored")
    else:
        allowed = "a membrane quantizer that stores codes, not floats"
        raise ArgumentError("quantizer", type(quantizer).__name__, allowed)
    bits: int = module.bits if hasattr(module, "bits") else module.spec.storage_bits
    return PackedMembrane(pack_codes(codes.codes, bits), bits, q.shape, codes)
