"""Networks from the strings in which the papers write them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models.host import HostName, load_host
from qsnn_plugins.nn import quantize_weights
from qsnn_plugins.spec import QuantSpec

__all__ = ["StringNet", "Token", "parse_layers"]

_TOKENS = {
    "conv": re.compile(r"(?P<channels>\d+)C(?P<size>\d+)"),
    "depthwise": re.compile(r"(?P<channels>\d+)DW"),
    "average_pool": re.compile(r"AP(?P<size>\d+)"),
    "max_pool": re.compile(r"MP(?P<size>\d+)"),
    "global_pool": re.compile(r"GAP"),
    "linear": re.compile(r"FC(?P<channels>\d+)"),
}
_KNOWN = "nCk, nDW, APk, MPk, GAP or FCn, with n and k above 0"


class Token(NamedTuple):
    """One layer of a network's string."""

    kind: str
    text: str
    channels: int = 0
    size: int = 0


def parse_layers(layers: str) -> list[Token]:
    """Read a network's string, such as "64C3-AP2-GAP-FC10".

    Args:
        layers: Tokens joined by "-": nCk (k x k convolution to n channels), nDW (3 x 3 depthwise
            and 1 x 1 pointwise convolution), APk and MPk (average and maximum pooling), GAP
            (global average pooling), FCn (linear layer).

    Returns:
        The tokens in order.

    Raises:
        ArgumentError: If a token is unknown; the error names it and where it stands.

    Example:
        >>> [token.kind for token in parse_layers("8C3-AP2-FC10")]
        ['conv', 'average_pool', 'linear']
        >>> parse_layers("8C3-BP2-FC10")
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: layers, token 2 (at character 5)='BP2' is not allowed: \
give nCk, nDW, APk, MPk, GAP or FCn, with n and k above 0
    """
    tokens, character = [], 1
    for number, text in enumerate(layers.split("-"), start=1):
        for kind, pattern in _TOKENS.items():
            match = pattern.fullmatch(text)
            values = {k: int(v) for k, v in match.groupdict().items()} if match else {}
            if match and all(values.values()):
                tokens.append(Token(kind, text, **values))
                break
        else:
            raise ArgumentError(f"layers, token {number} (at character {character})", text, _KNOWN)
        character += len(text) + 1
    return tokens


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
            raise ArgumentError("layers", token.text, "only FCn after the first FCn")

    def pool(self, token: Token) -> None:
        """Shrink by a pooling window."""
        self.require_map(token)
        if token.kind == "global_pool":
            self.size = (1, 1)
        elif self.size is not None:
            self.size = (self.size[0] // token.size, self.size[1] // token.size)
            if 0 in self.size:
                raise ArgumentError("layers", token.text, "a pooling window within the map")

    def flatten(self, token: Token) -> int:
        """Become flat, and return how many features a linear layer sees."""
        if self.is_flat:
            return self.channels
        if self.size is None:
            allowed = f"(height, width): {token.text} follows a map of unknown size"
            raise ArgumentError("input_size", None, allowed)
        self.is_flat = True
        return self.channels * math.prod(self.size)


class TimeDistributed(nn.Sequential):
    """Layers without state, applied to every step of time-major input at once.

    [T, N, ...] is folded to [T·N, ...] and back, so that batch normalization sees all steps.
    """

    def forward(self, x_seq: Tensor) -> Tensor:
        """Map [T, N, ...] to [T, N, ...]."""
        return super().forward(x_seq.flatten(0, 1)).unflatten(0, x_seq.shape[:2])


class StringNet(nn.Module):
    """Spiking network from the string in which a paper writes it.

    Convolutions and hidden linear layers are followed by batch normalization over all steps and by
    a neuron; a linear layer at the end gives logits. Convolutions keep the size of the map for odd
    k. Hidden linear layers are normalized too: after global pooling their input is too small to
    reach a threshold.

    Args:
        layers: The string, see `parse_layers`.
        in_channels: Channels of the input, 2 for the polarities of events.
        input_size: (height, width) of the input; needed only where a linear layer sees an
            unpooled map.
        spec: How the network is quantized.
        host: Whose neurons it is built of.
        conv_bias: Whether convolutions have biases, as in the papers' counts of parameters.

    Raises:
        ArgumentError: If the string or another argument is not allowed.

    Example:
        >>> import torch
        >>> network = StringNet("8C3-AP2-GAP-FC10", in_channels=2)
        >>> network(torch.rand(4, 1, 2, 6, 6)).shape  # [T, N, K]
        torch.Size([4, 1, 10])
    """

    def __init__(
        self,
        layers: str,
        in_channels: int = 2,
        input_size: tuple[int, int] | None = None,
        spec: QuantSpec = QuantSpec(),  # noqa: B008 - frozen
        host: HostName = "spikingjelly",
        conv_bias: bool = True,
    ) -> None:
        super().__init__()
        if in_channels < 1:
            raise ArgumentError("in_channels", in_channels, "an integer from 1")
        self.in_channels, self.spec, self._host = in_channels, spec, load_host(host)
        self.blocks = nn.Sequential()
        shape, numbers = _Shape(in_channels, input_size), Counter[str]()
        tokens = parse_layers(layers)
        for token in tokens:
            is_last = token is tokens[-1]
            kind, block = self._build(token, shape, is_last, conv_bias)
            numbers[kind] += 1
            self.blocks.add_module(f"{kind}{numbers[kind]}", block)
        self.out_channels = shape.channels
        quantize_weights(self, spec.weight)

    def _build(
        self, token: Token, shape: _Shape, is_last: bool, conv_bias: bool
    ) -> tuple[str, nn.Module]:
        if token.kind in _POOLS:
            shape.pool(token)
            return "pool", TimeDistributed(_POOLS[token.kind](token.size))
        if token.kind == "linear":
            linear = nn.Linear(shape.flatten(token), token.channels)
            shape.channels = token.channels
            if is_last:
                return "fc", TimeDistributed(nn.Flatten(), linear)
            synapse = TimeDistributed(nn.Flatten(), linear, nn.BatchNorm1d(token.channels))
            return "fc", self._with_neuron(synapse, shape.channels)
        shape.require_map(token)
        inputs, outputs, k = shape.channels, token.channels, token.size
        if token.kind == "depthwise":
            convolutions = [
                nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=conv_bias),
                nn.Conv2d(inputs, outputs, 1, bias=conv_bias),
            ]
        else:
            convolutions = [nn.Conv2d(inputs, outputs, k, padding=k // 2, bias=conv_bias)]
        shape.channels = outputs
        synapse = TimeDistributed(*convolutions, nn.BatchNorm2d(outputs))
        return "conv", self._with_neuron(synapse, shape.channels)

    def _with_neuron(self, synapse: nn.Module, channels: int) -> nn.Sequential:
        block = nn.Sequential()
        block.add_module("synapse", synapse)
        block.add_module("neuron", self._host.build_neuron(self.spec, channels))
        return block

    def reset_states(self) -> None:
        """Forget the states of all neurons."""
        self._host.reset_net(self)

    def forward(self, x_seq: Tensor) -> Tensor:
        """Map input [T, N, C, H, W] to logits [T, N, K] of every step.

        Raises:
            ArgumentError: If the input has another number of dimensions or channels.
        """
        if x_seq.dim() != 5 or x_seq.shape[2] != self.in_channels:
            allowed = f"[T, N, {self.in_channels}, H, W] (the network's in_channels)"
            raise ArgumentError("input shape", list(x_seq.shape), allowed)
        return self.blocks(x_seq)
