"""SpikingJelly's own networks in multi-step mode, with the settings of the papers."""

from __future__ import annotations

import math

from spikingjelly.activation_based import functional, neuron
from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec.checks import choice, height_and_width, integer, number
from qsnn_plugins.spikingjelly.legacy import IS_LEGACY

__all__ = ["NETWORKS", "build_network"]

_SEW = ("sew_resnet34", "sew_resnet50")
# blocks, channels, heads, and the side of a patch: 4 for CIFAR, 16 for ImageNet
_SPIKFORMERS = {
    "spikformer_4_256": (4, 256, 8, 4),
    "spikformer_2_384": (2, 384, 12, 4),
    "spikformer_4_384": (4, 384, 12, 4),
    "spikformer_6_512": (6, 512, 8, 16),
    "spikformer_8_384": (8, 384, 12, 16),
    "spikformer_8_512": (8, 512, 8, 16),
    "spikformer_10_512": (10, 512, 8, 16),
    "spikformer_8_768": (8, 768, 12, 16),
}
NETWORKS = (*_SEW, *_SPIKFORMERS)


def build_network(
    name: str,
    classes: int,
    in_channels: int = 3,
    input_size: tuple[int, int] = (32, 32),
    width: float = 1.0,
) -> nn.Module:
    """Build a network of SpikingJelly over [T, N, C, H, W], with its own neurons.

    SEW-ResNets add their branches (connect function ADD) and have LIF neurons with τ = 2 and
    `decay_input=False`; Spikformers have the neurons of SpikingJelly's builder.

    Args:
        name: One of `NETWORKS`; a Spikformer's numbers are blocks and channels.
        classes: Number of outputs.
        in_channels: Channels of the input.
        input_size: (height, width) of the input.
        width: Factor on the channels of a Spikformer, above 0; not for SEW-ResNets.

    Returns:
        The network in multi-step mode.

    Raises:
        ArgumentError: If there is no such network, or the input does not fit it.

    Example:
        >>> network = build_network("spikformer_2_384", classes=10)
        >>> len(network.blocks)
        2
    """
    choice(NETWORKS)("name", name)
    classes, in_channels = integer(1)("classes", classes), integer(1)("in_channels", in_channels)
    height, width_of_map = height_and_width("input_size", input_size)
    width = number("a number above 0", lambda x: x > 0)("width", width)
    if name in _SEW:
        return _build_sew_resnet(name, classes, in_channels, width)
    if IS_LEGACY:
        raise ArgumentError("name", name, "SpikingJelly 2.0 or later: 0.0.0.0.14 has no Spikformer")
    # the host's builders import torchvision, and 0.0.0.0.14 lacks this one: only when it is used
    from spikingjelly.activation_based.model import spikformer

    blocks, channels, heads, patch = _SPIKFORMERS[name]
    channels = _scaled(channels, width, heads)
    if height % patch or width_of_map % patch:
        raise ArgumentError("input_size", input_size, f"multiples of {patch}, the side of a patch")
    return spikformer.Spikformer(
        in_channels=in_channels,
        img_size_h=height,
        img_size_w=width_of_map,
        patch_size=patch,
        num_classes=classes,
        embed_dims=channels,
        num_heads=heads,
        depths=blocks,
    )


def _scaled(channels: int, width: float, heads: int) -> int:
    # each head has equally many channels, and the stem begins with an eighth of them
    scaled, unit = round(channels * width), math.lcm(heads, 8)
    if scaled < unit or scaled % unit:
        allowed = f"a factor that makes {channels} channels a multiple of {unit}"
        raise ArgumentError("width", width, allowed)
    return scaled


def _build_sew_resnet(name: str, classes: int, in_channels: int, width: float) -> nn.Module:
    if width != 1:
        raise ArgumentError("width", width, f"1: {name} has the channels of its builder")
    if in_channels != 3:
        raise ArgumentError("in_channels", in_channels, f"3: {name} is over images")
    from spikingjelly.activation_based.model import sew_resnet

    network: nn.Module = getattr(sew_resnet, name)(
        cnf="ADD",
        spiking_neuron=neuron.LIFNode,
        num_classes=classes,
        decay_input=False,
        detach_reset=True,
    )
    functional.set_step_mode(network, "m")
    return network
