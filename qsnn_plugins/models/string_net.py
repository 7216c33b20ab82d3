"""Networks from the layer strings of the papers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models.layers import Token, parse_layers
from qsnn_plugins.models.time_major import (
    WIDTH,
    HostName,
    Init,
    TimeDistributed,
    TimeMajorNet,
    begin_wide,
)
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spec.checks import boolean, choice, height_and_width

__all__ = ["Normalized", "StringNet"]

Normalized = Literal["all", "convolutions", "none"]

# What a token's block is called in the network.
_NAMES = {
    "conv": "conv",
    "depthwise": "conv",
    "average_pool": "pool",
    "max_pool": "pool",
    "global_pool": "pool",
    "linear": "fc",
    "grid": "grid",
}
_POOLS: dict[str, Callable[[int], nn.Module]] = {
    "average_pool": nn.AvgPool2d,
    "max_pool": nn.MaxPool2d,
    "global_pool": lambda _: nn.AdaptiveAvgPool2d(1),
}


@dataclass
class _Shape:
    """Shape of one step's map while a network is built; an unknown size is None."""

    channels: int
    size: tuple[int, int] | None
    is_flat: bool = False

    def require_map(self, token: Token) -> None:
        """Refuse a layer that needs height and width after a linear one."""
        if self.is_flat:
            raise ArgumentError("layers", token.text, "only FCn and APk after the first FCn")

    def pool(self, token: Token) -> None:
        """Shrink by a pooling window."""
        self.require_map(token)
        if token.kind == "global_pool":
            self.size = (1, 1)
        elif self.size is not None:
            self.size = (self.size[0] // token.size, self.size[1] // token.size)
            if 0 in self.size:
                raise ArgumentError("layers", token.text, "a pooling window within the map")

    def convolve(self, token: Token) -> int:
        """Follow a convolution, and return its padding."""
        self.require_map(token)
        kernel = token.size or 3
        padding = kernel // 2 if token.padding is None else token.padding
        if self.size is not None:
            grown = 2 * padding - kernel + 1
            self.size = (self.size[0] + grown, self.size[1] + grown)
            if min(self.size) < 1:
                raise ArgumentError("layers", token.text, "a convolution within the padded map")
        return padding

    def spread(self, token: Token, is_last: bool) -> None:
        """End with so many numbers for each pixel of the map."""
        self.require_map(token)
        if not is_last:
            raise ArgumentError("layers", token.text, "GRIDn only at the end")
        if self.size is None:
            allowed = f"(height, width): {token.text} follows a map of unknown size"
            raise ArgumentError("input_size", None, allowed)
        self.channels, self.is_flat = token.channels * math.prod(self.size), True

    def vote(self, token: Token) -> None:
        """Average groups of outputs."""
        if self.channels % token.size:
            allowed = f"a divisor of the {self.channels} outputs before it"
            raise ArgumentError("layers", token.text, allowed)
        self.channels //= token.size

    def flatten(self, token: Token) -> int:
        """Become flat, and return how many features a linear layer sees."""
        if self.is_flat:
            return self.channels
        if self.size is None:
            allowed = f"(height, width): {token.text} follows a map of unknown size"
            raise ArgumentError("input_size", None, allowed)
        self.is_flat = True
        return self.channels * math.prod(self.size)


class _Cells(nn.Module):
    """Puts the numbers of a cell side by side, cells row by row."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


class StringNet(TimeMajorNet):
    """Spiking network from a layer string, as papers write it.

    Convolutions and hidden linear layers are followed by batch normalization over all steps and by
    a neuron; a linear layer at the end returns logits. For odd k, convolutions keep the size of the
    map unless their padding is given. Hidden linear layers are normalized too, because after global
    pooling their input is too small to reach a threshold. "FC100-AP10" at the end is voting: the
    linear layer is a hidden one, and the spikes of each group of ten neurons are averaged, which
    gives ten outputs. "GRID12" at the end gives twelve outputs for each pixel of its map.

    Args:
        layers: The layer string, see `parse_layers`.
        in_channels: Channels of the input, 2 for the polarities of events.
        input_size: (height, width) of the input; needed only if a linear layer follows without
            global pooling.
        spec: How the network is quantized; None is `QuantSpec()`, see `TimeMajorNet`.
        host: Library whose neurons are used, "spikingjelly" or "snntorch".
        conv_bias: Whether convolutions have biases, as in the papers' counts of parameters.
        linear_bias: Whether linear layers have them.
        normalized: Which layers before a neuron have batch normalization; the others are
            initialized with a larger variance, see `begin_wide`.
        width: Factor on the channels of all layers except the output layer, above 0.
        overrides: Other specs for modules whose names match a pattern, see `TimeMajorNet`.
        decay_input: Whether neurons divide their input by tau, see `TimeMajorNet`.
        init: Initialization of convolutions with normalization, "torch" or "kaiming_fan_out", see
            `TimeMajorNet`. Those without it are initialized as `normalized` says.

    Raises:
        ArgumentError: If the string or another argument is not allowed.

    Example:
        >>> import torch
        >>> network = StringNet("8C3-AP2-GAP-FC10", in_channels=2)
        >>> network(torch.rand(4, 1, 2, 6, 6)).shape  # [T, N, K]
        torch.Size([4, 1, 10])
        >>> StringNet("(4C3-MP2)x2-FC16-FC20-AP10", input_size=(8, 8)).out_channels
        2
    """

    def __init__(
        self,
        layers: str,
        in_channels: int = 2,
        input_size: tuple[int, int] | None = None,
        spec: QuantSpec | None = None,
        host: HostName = "spikingjelly",
        conv_bias: bool = True,
        linear_bias: bool = True,
        normalized: Normalized = "all",
        width: float = 1.0,
        overrides: dict[str, QuantSpec | None] | None = None,
        decay_input: bool = False,
        init: Init = "torch",
    ) -> None:
        super().__init__(in_channels, spec, host, overrides, decay_input, init)
        self._conv_bias = boolean("conv_bias", conv_bias)
        self._linear_bias = boolean("linear_bias", linear_bias)
        self._normalized = choice(Normalized)("normalized", normalized)
        size = None if input_size is None else height_and_width("input_size", input_size)
        shape, numbers = _Shape(self.in_channels, size), Counter[str]()
        tokens = _scaled(parse_layers(layers), width)
        for place, token in enumerate(tokens, start=1):
            kind = "vote" if token.kind == "average_pool" and shape.is_flat else _NAMES[token.kind]
            numbers[kind] += 1
            self._add(f"{kind}{numbers[kind]}", token, shape, is_last=place == len(tokens))
        self.finish(shape.channels)

    def _add(self, name: str, token: Token, shape: _Shape, is_last: bool) -> None:
        if token.kind == "average_pool" and shape.is_flat:
            shape.vote(token)
            self.blocks.add_module(name, TimeDistributed(nn.AvgPool1d(token.size)))
        elif token.kind in _POOLS:
            shape.pool(token)
            self.blocks.add_module(name, TimeDistributed(_POOLS[token.kind](token.size)))
        elif token.kind == "grid":
            head = nn.Conv2d(shape.channels, token.channels, 1, bias=self._linear_bias)
            shape.spread(token, is_last)
            self.blocks.add_module(name, TimeDistributed(head, _Cells()))
        elif token.kind == "linear":
            self._add_linear(name, token, shape, is_last)
        else:
            self._add_convolutions(name, token, shape)

    def _add_linear(self, name: str, token: Token, shape: _Shape, is_last: bool) -> None:
        linear = nn.Linear(shape.flatten(token), token.channels, bias=self._linear_bias)
        shape.channels = token.channels
        synapse = TimeDistributed(nn.Flatten(), linear)
        if is_last:
            self.blocks.add_module(name, synapse)
            return
        if self._normalized == "all":
            synapse.append(nn.BatchNorm1d(token.channels))
        else:
            begin_wide(linear)
        self.add_with_neuron(name, synapse, token.channels)

    def _add_convolutions(self, name: str, token: Token, shape: _Shape) -> None:
        convolutions = self._convolutions(token, shape.channels, shape.convolve(token))
        shape.channels = token.channels
        synapse = TimeDistributed(*convolutions)
        if self._normalized != "none":
            synapse.append(nn.BatchNorm2d(token.channels))
        else:
            for convolution in convolutions:
                begin_wide(convolution)
        self.add_with_neuron(name, synapse, token.channels)

    def _convolutions(self, token: Token, inputs: int, padding: int) -> list[nn.Conv2d]:
        outputs, k, bias = token.channels, token.size, self._conv_bias
        if token.kind == "depthwise":
            return [
                nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=bias),
                nn.Conv2d(inputs, outputs, 1, bias=bias),
            ]
        return [nn.Conv2d(inputs, outputs, k, padding=padding, bias=bias)]


def _scaled(tokens: list[Token], width: float) -> list[Token]:
    """Scale the channels of all tokens but the last one that gives outputs."""
    width = WIDTH("width", width)
    last = max(
        (i for i, token in enumerate(tokens) if token.kind in ("linear", "grid")), default=-1
    )
    return [
        token._replace(channels=max(1, round(token.channels * width)))
        if token.channels and i != last
        else token
        for i, token in enumerate(tokens)
    ]
