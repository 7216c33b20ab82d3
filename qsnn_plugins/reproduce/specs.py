"""The spec that a row's settings name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qsnn_plugins import presets
from qsnn_plugins.spec import MembraneSpec, QuantSpec, WeightSpec

__all__ = ["row_spec"]


def row_spec(paper: str, settings: Mapping[str, Any]) -> QuantSpec:
    """Say how a row's network is quantized, as far as its memory goes.

    Args:
        paper: Key of the paper.
        settings: The row's: weight_bits and membrane_bits, 32 for floats.

    Returns:
        The spec.

    Example:
        >>> row_spec("qsnn", {"weight_bits": 1, "membrane_bits": 4}).membrane.storage_bits
        4
    """
    weight_bits = settings.get("weight_bits", 32)
    membrane_bits = settings.get("membrane_bits", 32)
    if settings.get("method") == "MINT":
        membrane = MembraneSpec(kind="tanh", bits=membrane_bits, scale="learned")
        return QuantSpec(membrane, weight=WeightSpec(kind="mint", bits=weight_bits))
    if settings.get("masked"):
        return QuantSpec(MembraneSpec(kind="pruned"))
    if weight_bits == membrane_bits == 32:
        return QuantSpec.full_precision()
    match paper:
        case "qsnn":
            return presets.qsnn(membrane_bits)
        case "sigmoid_quantizer":
            return presets.sigmoid_quantizer(weight_bits)
        case "bit_budget":
            # its caption takes float weights to be 16 bits wide
            return QuantSpec.full_precision()
    return presets.imsnn(None if weight_bits == 32 else weight_bits)
