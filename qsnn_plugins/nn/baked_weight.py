"""Quantized weights as plain numbers, which costs and packing still know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.nn.layers import weight_layers
from qsnn_plugins.nn.weight import WeightQuantizer, layer_quantizer, remove_quantizer

__all__ = ["bake_weights", "stored_quantizer", "stored_weight"]


@dataclass
class BakedWeight:
    """The quantizer of a weight before `bake_weights` replaced it by plain numbers.

    A `WeightQuantizer` for costs and packing, as long as the baked weight is not changed.
    """

    bits: int
    levels: tuple[int, ...]
    scale_count: int
    scale_bits: int
    unit: Tensor

    def codes(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the int32 codes of a baked weight and their unit."""
        unit = self.unit.to(weight.device)
        levels = torch.tensor(self.levels, device=weight.device, dtype=torch.float64)
        # of a channel whose unit is 0 any code will do
        places = (weight.detach() / unit).nan_to_num(0.0, 0.0, 0.0).double()
        # torch copies what is not contiguous, and warns
        above = torch.bucketize(places.contiguous(), (levels[1:] + levels[:-1]) / 2)
        return levels[above].int(), unit

    def fits(self, weight: Tensor) -> bool:
        """Return whether a weight still has the baked values."""
        codes, unit = self.codes(weight)
        return torch.equal((codes * unit).to(weight.dtype), weight.detach())


def _baked(layer: Any) -> BakedWeight:
    quantizer: Any = layer_quantizer(layer)
    _, unit = quantizer.codes(layer.parametrizations.weight.original.detach())
    return BakedWeight(
        quantizer.bits,
        tuple(quantizer.levels),
        quantizer.scale_count,
        quantizer.scale_bits,
        torch.as_tensor(unit).detach().clone(),
    )


def stored_quantizer(layer: nn.Module) -> WeightQuantizer | None:
    """Return the quantizer of a layer's weight, or that with which it was baked.

    Example:
        >>> from qsnn_plugins.nn import quantize_weights
        >>> from qsnn_plugins.spec import WeightSpec
        >>> layer = nn.Linear(2, 2)
        >>> _ = quantize_weights(layer, WeightSpec(kind="mint", bits=2))
        >>> _ = bake_weights(layer)
        >>> layer_quantizer(layer) is None, stored_quantizer(layer).bits
        (True, 2)
    """
    quantizer = layer_quantizer(layer)
    baked = getattr(layer, "baked_weight", None)
    if quantizer is None and isinstance(baked, BakedWeight):
        weight = getattr(layer, "weight", None)
        return baked if isinstance(weight, Tensor) and baked.fits(weight) else None
    return quantizer


def stored_weight(layer: Any) -> Tensor:
    """Return the weight of which `stored_quantizer` gives the codes, baked or in floats.

    Example:
        >>> from qsnn_plugins.nn import quantize_weights
        >>> from qsnn_plugins.spec import WeightSpec
        >>> layer = nn.Linear(2, 2)
        >>> _ = quantize_weights(layer, WeightSpec(kind="mint", bits=2))
        >>> stored_weight(layer) is layer.parametrizations.weight.original
        True
    """
    is_baked = layer_quantizer(layer) is None
    return layer.weight if is_baked else layer.parametrizations.weight.original


def bake_weights(network: nn.Module) -> list[str]:
    """Undo `quantize_weights` in place, and keep the quantized weights as plain parameters.

    The parameters stay the same objects. The baked values are those of evaluation mode, whatever
    the current mode.

    Args:
        network: A network after `quantize_weights`; other parametrizations are left alone.

    Returns:
        Names of the layers whose weights were baked.

    Example:
        >>> from torch.nn.utils import parametrize
        >>> from qsnn_plugins.nn import quantize_weights
        >>> from qsnn_plugins.spec import WeightSpec
        >>> layer = nn.Linear(4, 2)
        >>> _ = quantize_weights(layer, WeightSpec(kind="sigmoid", bits=2))
        >>> bake_weights(nn.Sequential(layer)), parametrize.is_parametrized(layer)
        (['0'], False)
    """
    values: dict[str, Tensor] = {}
    baked: dict[str, BakedWeight] = {}
    layers: dict[str, Any] = {**weight_layers(network)}
    for name, layer in layers.items():
        if layer_quantizer(layer) is not None:
            parametrizations: Any = layer.parametrizations
            training = parametrizations.weight.training
            parametrizations.weight.eval()
            # all are read before the first is written: layers may share a weight
            values[name] = layer.weight.detach().clone()
            baked[name] = _baked(layer)
            parametrizations.weight.train(training)
    for name, value in values.items():
        layer = layers[name]
        remove_quantizer(layer)
        with torch.no_grad():
            layer.weight.copy_(value)
        layer.baked_weight = baked[name]
    return list(values)
