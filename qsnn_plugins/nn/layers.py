"""The layers of a network with quantized weights, and the dimension of their output channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.utils import parametrize

__all__ = [
    "Transposed",
    "WeightLayer",
    "end_layers",
    "is_transposed",
    "output_first",
    "swap_channels",
    "weight_layers",
    "weight_of",
]

WeightLayer = (
    nn.Conv1d
    | nn.Conv2d
    | nn.Conv3d
    | nn.ConvTranspose1d
    | nn.ConvTranspose2d
    | nn.ConvTranspose3d
    | nn.Linear
    | nn.Bilinear
    | nn.Embedding
    | nn.EmbeddingBag
)
# Layers whose matrices torch multiplies by itself: they stay float, but may be the first or last.
_IN_KERNEL = nn.MultiheadAttention | nn.RNNBase | nn.RNNCellBase


def weight_layers(network: nn.Module) -> dict[str, WeightLayer]:
    """List the layers of a network whose weights are quantized, in the order of definition.

    These are convolutions (also transposed ones), linear and bilinear layers, and embeddings
    without `max_norm` and `sparse`. A module that is used in several places is listed once.

    Example:
        >>> list(weight_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))))
        ['0', '2']
    """
    return {n: m for n, m in network.named_modules() if _has_quantizable_weight(m)}


def _has_quantizable_weight(module: Any) -> bool:
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        # a norm is kept by writing to the weight, and a quantizer takes no sparse gradients
        return module.max_norm is None and not module.sparse
    return isinstance(module, WeightLayer)


def end_layers(network: nn.Module) -> set[str]:
    """Return the names of the first and last `weight_layers`, to which `first_last` applies.

    First and last refer to all layers with weights in the order of definition, including recurrent
    layers and attention, which stay float. A layer that shares its weight with such a layer also
    counts.

    Example:
        >>> network = nn.Sequential(nn.LSTM(2, 2), nn.Linear(2, 2), nn.Linear(2, 1))
        >>> end_layers(network)
        {'2'}
    """
    holders = [m for m in network.modules() if isinstance(m, WeightLayer | _IN_KERNEL)]
    ends = {id(weight_of(holder)) for holder in holders[:1] + holders[-1:]}
    return {name for name, layer in weight_layers(network).items() if id(weight_of(layer)) in ends}


def weight_of(layer: Any) -> Any:
    """Return a layer's own weight, the float one where it is parametrized.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> weight_of(layer) is layer.weight
        True
    """
    if parametrize.is_parametrized(layer, "weight"):
        inner = layer.parametrizations.weight
        return getattr(inner, "original", None) if inner.is_tensor else inner.original0
    return getattr(layer, "weight", layer)


def swap_channels(weight: Tensor, groups: int) -> Tensor:
    """Swap inputs and outputs within each group: [in, out / groups, ...] to [out, ...], and back.

    Example:
        >>> swap_channels(nn.ConvTranspose1d(4, 6, 3, groups=2).weight, groups=2).shape
        torch.Size([6, 2, 3])
    """
    return weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).contiguous()


def output_first(layer: Any) -> Tensor:
    """Return a layer's weight as its quantizer sees it, shape [out, ...].

    Example:
        >>> output_first(nn.ConvTranspose1d(4, 6, 3)).shape
        torch.Size([6, 4, 3])
    """
    return swap_channels(layer.weight, layer.groups) if is_transposed(layer) else layer.weight


def is_transposed(layer: nn.Module) -> bool:
    """Whether the second dimension of a layer's weight holds its output channels.

    Example:
        >>> is_transposed(nn.ConvTranspose2d(1, 1, 1)), is_transposed(nn.Conv2d(1, 1, 1))
        (True, False)
    """
    return isinstance(layer, _ConvTransposeNd)


class Transposed(nn.Module):
    """Applies a quantizer of weights [out, ...] to the weight of a transposed convolution.

    That weight is [in, out / groups, ...]. The quantizer sees [out, in / groups, ...], so that what
    it does per channel is per output channel.

    Args:
        quantizer: A `WeightQuantizer`.
        groups: Groups of the convolution.

    Example:
        >>> import torch
        >>> from qsnn_plugins.nn import Uniform
        >>> weight = torch.tensor([[[0.2], [7.0]], [[1.0], [-5.0]]])  # of 2 inputs and 2 outputs
        >>> per_channel = Uniform(weight.transpose(0, 1), bits=2, scale="max", per="channel")
        >>> Transposed(per_channel)(weight).squeeze(-1)
        tensor([[ 0.,  7.],
                [ 1., -7.]])
    """

    def __init__(self, quantizer: Any, groups: int = 1) -> None:
        super().__init__()
        self.quantizer, self.groups = quantizer, groups

    @property
    def bits(self) -> int:
        """Bits of a weight."""
        return self.quantizer.bits

    @property
    def levels(self) -> tuple[int, ...]:
        """Codes that may occur."""
        return self.quantizer.levels

    @property
    def scale_count(self) -> int:
        """Scales of a layer."""
        return self.quantizer.scale_count

    @property
    def scale_bits(self) -> int:
        """Bits of a scale."""
        return self.quantizer.scale_bits

    def forward(self, weight: Tensor) -> Tensor:
        """Return the quantized weight [in, out / groups, ...]."""
        return swap_channels(self.quantizer(swap_channels(weight, self.groups)), self.groups)

    def codes(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes [in, out / groups, ...] and the unit, which broadcasts to them."""
        codes, unit = self.quantizer.codes(swap_channels(weight, self.groups))
        unit = torch.as_tensor(unit)  # of a user's own quantizer it may be a number
        if unit.numel() > 1:  # one per output channel
            inputs = len(weight) // self.groups if self.groups > 1 else 1
            unit = swap_channels(unit.expand(-1, inputs, *unit.shape[2:]), self.groups)
        return swap_channels(codes, self.groups), unit

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Tell an epoch to a quantizer that has a schedule."""
        if hasattr(self.quantizer, "set_epoch"):
            self.quantizer.set_epoch(epoch, epochs)
