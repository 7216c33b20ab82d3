"""Networks from a host, quantized by injection."""

from __future__ import annotations

import torch

from qsnn_plugins.injection import inject
from qsnn_plugins.models.time_major import TimeMajorNet, load_host
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spec.checks import height_and_width

__all__ = ["HostedNet"]


class HostedNet(TimeMajorNet):
    """One of SpikingJelly's own networks, quantized as a spec says.

    Leak, threshold and reset are those of the host. The network itself is `blocks.host`; `report`
    is the report of its injection.

    Args:
        name: sew_resnet34, sew_resnet50, or a Spikformer with its numbers of blocks and channels:
            spikformer_4_256, spikformer_2_384, spikformer_4_384 (CIFAR), spikformer_6_512,
            spikformer_8_384, spikformer_8_512, spikformer_10_512, spikformer_8_768 (ImageNet).
        classes: Number of outputs.
        in_channels: Channels of the input; SEW-ResNets have 3.
        input_size: (height, width) of the input.
        width: Factor on the channels of a Spikformer, above 0; not for SEW-ResNets.
        spec: How the network is quantized; None is `QuantSpec()`, see `TimeMajorNet`.
        overrides: Other specs for modules whose names match a pattern, see `qsnn_plugins.inject`;
            these names begin with "blocks.host.".

    Raises:
        ArgumentError: If there is no such network, or an argument does not fit it.

    Example:
        >>> network = HostedNet("spikformer_2_384", classes=10)
        >>> network(torch.rand(2, 1, 3, 32, 32)).shape  # [T, N, K]
        torch.Size([2, 1, 10])
    """

    def __init__(
        self,
        name: str,
        classes: int = 10,
        in_channels: int = 3,
        input_size: tuple[int, int] = (32, 32),
        width: float = 1.0,
        spec: QuantSpec | None = None,
        overrides: dict[str, QuantSpec | None] | None = None,
    ) -> None:
        super().__init__(in_channels, spec, "spikingjelly")
        build_network = load_host("spikingjelly").build_network
        size = height_and_width("input_size", input_size)
        network = build_network(name, classes, self.in_channels, size, width)
        self.blocks.add_module("host", network)
        self.out_channels = int(classes)
        example = torch.zeros(1, 2, self.in_channels, *size)
        self.report = inject(self, self.spec, overrides=overrides, example_input=example)
