"""The residual networks of the papers: branches are added before the neuron."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from qsnn_plugins.models.time_major import (
    WIDTH,
    HostName,
    Init,
    TimeDistributed,
    TimeMajorNet,
    begin_wide,
)
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spec.checks import choice, integer

__all__ = ["ResidualBlock", "ResidualNet"]

Depth = Literal[18, 19, 20, 34]
Stem = Literal["small", "large"]
Normalization = Literal["plain", "threshold"]


@dataclass(frozen=True)
class _Plan:
    """What a depth means: channels and blocks of each stage."""

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    stem_channels: int
    hidden_features: int = 0


_PLANS = {
    18: _Plan((64, 128, 256, 512), (2, 2, 2, 2), 64),
    19: _Plan((128, 256, 512), (3, 3, 2), 128, hidden_features=256),
    20: _Plan((16, 32, 64), (3, 3, 3), 16),
    34: _Plan((64, 128, 256, 512), (3, 4, 6, 3), 64),
}


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut around them, added before the second neuron.

    The shortcut is the identity, or a 1 x 1 convolution with normalization if the size of the map
    or the number of channels changes.

    Args:
        in_channels: Channels of the input [T, N, C, H, W].
        out_channels: Channels of the output.
        stride: Stride of the first convolution and of the shortcut.
        build_neuron: Builds a neuron from its name in the block and its channels.
        build_norm: Builds normalization for a number of channels; its second argument says whether
            the normalized branch is added to another one.

    Example:
        >>> import torch
        >>> block = ResidualBlock(2, 4, 2, lambda *_: nn.ReLU(), lambda n, _: nn.BatchNorm2d(n))
        >>> block(torch.rand(3, 1, 2, 8, 8)).shape
        torch.Size([3, 1, 4, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        build_neuron: Callable[[str, int], nn.Module],
        build_norm: Callable[[int, bool], nn.Module],
    ) -> None:
        super().__init__()
        n = out_channels
        self.synapse1 = TimeDistributed(
            nn.Conv2d(in_channels, n, 3, stride, 1, bias=False), build_norm(n, False)
        )
        self.neuron1 = build_neuron("neuron1", n)
        self.synapse2 = TimeDistributed(
            nn.Conv2d(n, n, 3, padding=1, bias=False), build_norm(n, True)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != n:
            self.shortcut = TimeDistributed(
                nn.Conv2d(in_channels, n, 1, stride, bias=False), build_norm(n, True)
            )
        self.neuron2 = build_neuron("neuron2", n)

    def forward(self, x_seq: Tensor) -> Tensor:
        """Map [T, N, C, H, W] to [T, N, C', H', W']."""
        branch = self.synapse2(self.neuron1(self.synapse1(x_seq)))
        return self.neuron2(branch + self.shortcut(x_seq))


class ResidualNet(TimeMajorNet):
    """Spiking ResNet of basic blocks, with branches added before the neuron.

        depth   stages of channels (blocks)            first convolution   hidden linear layer
        18      64, 128, 256, 512 (2, 2, 2, 2)         64                  none
        19      128, 256, 512 (3, 3, 2)                128                 256
        20      16, 32, 64 (3, 3, 3)                   16                  none
        34      64, 128, 256, 512 (3, 4, 6, 3)         64                  none

    ResNet-19 is that of tdBN. Q-SNN uses it without the hidden linear layer (`hidden_features=0`),
    TET with a first convolution to 64 channels (`stem_channels=64`). Each stage except the first
    halves the map, and the last map is averaged. Linear layers have biases, convolutions do not.
    The hidden linear layer has a neuron but no normalization, and is initialized with a larger
    variance.

    Args:
        depth: Layers with weights, as the papers count them.
        classes: Number of outputs.
        in_channels: Channels of the input.
        stem: "small" is a 3 x 3 convolution that keeps the size of the map, for CIFAR; "large" is a
            7 x 7 convolution with stride 2, followed after the neuron by max pooling with stride 2,
            for ImageNet.
        stem_channels: Channels of the first convolution, or None for the default of the depth.
        hidden_features: Neurons of the hidden linear layer, 0 for no such layer, or None for the
            default of the depth.
        width: Factor on the channels of all layers and on hidden features, above 0.
        normalization: "plain" is batch normalization over all steps and samples, which the released
            codes call tdBN. "threshold" is the original tdBN: its learned factor is initialized to
            α V_th, where the threshold V_th is 1 and α is 1, or sqrt(1/2) for each of two branches
            that are added.
        spec: How the network is quantized; None is `QuantSpec()`, see `TimeMajorNet`.
        host: Library whose neurons are used, "spikingjelly" or "snntorch".
        overrides: Other specs for modules whose names match a pattern, see `TimeMajorNet`.
        decay_input: Whether neurons divide their input by tau, see `TimeMajorNet`.
        init: Initialization of convolutions with normalization, "torch" or "kaiming_fan_out", see
            `TimeMajorNet`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> network = ResidualNet(19, classes=10, width=1 / 16)
        >>> network(torch.rand(2, 1, 3, 16, 16)).shape  # [T, N, K]
        torch.Size([2, 1, 10])
    """

    def __init__(
        self,
        depth: Depth,
        classes: int = 10,
        in_channels: int = 3,
        stem: Stem = "small",
        stem_channels: int | None = None,
        hidden_features: int | None = None,
        width: float = 1.0,
        normalization: Normalization = "plain",
        spec: QuantSpec | None = None,
        host: HostName = "spikingjelly",
        overrides: dict[str, QuantSpec | None] | None = None,
        decay_input: bool = False,
        init: Init = "torch",
    ) -> None:
        super().__init__(in_channels, spec, host, overrides, decay_input, init)
        choice(Depth)("depth", depth)
        choice(Stem)("stem", stem)
        choice(Normalization)("normalization", normalization)
        classes = integer(1)("classes", classes)
        plan = _PLANS[depth]
        stem_channels = plan.stem_channels if stem_channels is None else stem_channels
        stem_channels = integer(1)("stem_channels", stem_channels)
        hidden = plan.hidden_features if hidden_features is None else hidden_features
        hidden = integer(0)("hidden_features", hidden)
        self._width, self._normalization = WIDTH("width", width), normalization
        self._add_stem(stem, self._scaled(stem_channels))
        features = self._add_stages(plan, self._scaled(stem_channels))
        self.blocks.add_module("pool", TimeDistributed(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        if hidden:
            fc1 = nn.Linear(features, self._scaled(hidden))
            begin_wide(fc1, averaged=True)
            features = self._scaled(hidden)
            self.add_with_neuron("fc1", TimeDistributed(fc1), features)
        name = "fc2" if hidden else "fc1"
        self.blocks.add_module(name, TimeDistributed(nn.Linear(features, classes)))
        self.finish(classes)

    def _add_stem(self, stem: Stem, channels: int) -> None:
        size, stride = (3, 1) if stem == "small" else (7, 2)
        convolution = nn.Conv2d(self.in_channels, channels, size, stride, size // 2, bias=False)
        synapse = TimeDistributed(convolution, self._norm(channels, False))
        self.add_with_neuron("stem", synapse, channels)
        if stem == "large":
            self.blocks.add_module("stem_pool", TimeDistributed(nn.MaxPool2d(3, 2, 1)))

    def _add_stages(self, plan: _Plan, channels: int) -> int:
        for i, (outputs, blocks) in enumerate(zip(plan.channels, plan.blocks, strict=True)):
            stage = nn.Sequential()
            for j in range(blocks):
                stride = 2 if i > 0 and j == 0 else 1
                width = self._scaled(outputs)
                neuron = self._neuron_of(f"blocks.stage{i + 1}.{j}")
                block = ResidualBlock(channels, width, stride, neuron, self._norm)
                # the branch is gated, and what a shortcut adds to it is not masked
                self.gate(block.synapse1, block.neuron1)
                self._source = block.neuron1, width
                self.gate(block.synapse2, block.neuron2)
                self._source = block.neuron2, width
                stage.append(block)
                channels = width
            self.blocks.add_module(f"stage{i + 1}", stage)
        return channels

    def _neuron_of(self, block: str) -> Callable[[str, int], nn.Module]:
        return lambda name, channels: self.neuron(f"{block}.{name}", channels)

    def _scaled(self, channels: int) -> int:
        return max(1, round(channels * self._width))

    def _norm(self, channels: int, added: bool) -> nn.Module:
        norm = nn.BatchNorm2d(channels)
        if added and self._normalization == "threshold":
            nn.init.constant_(norm.weight, math.sqrt(0.5))
        return norm
