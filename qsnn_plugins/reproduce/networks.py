"""The networks of the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import nn

from qsnn_plugins.cost import NetworkCost, report
from qsnn_plugins.errors import DataError
from qsnn_plugins.models import NETWORK_STRINGS, HostedNet, ResidualNet, StringNet, string_net
from qsnn_plugins.spec import QuantSpec

__all__ = ["NETWORKS", "CountedNetwork", "count_network"]


class CountedNetwork(NamedTuple):
    """A network of a table.

    Args:
        description: What it is.
        shape: Its input, [C, H, W].
        build: Builds it without quantization.

    Example:
        >>> NETWORKS["vgg9"].shape
        (2, 48, 48)
    """

    description: str
    shape: tuple[int, int, int]
    build: Callable[[], nn.Module]


_CIFAR, _IMAGENET = (3, 32, 32), (3, 224, 224)


def _residual(description: str, shape: tuple[int, int, int], **arguments: Any) -> CountedNetwork:
    return CountedNetwork(
        description, shape, lambda: ResidualNet(in_channels=shape[0], **arguments)
    )


def _string(
    name: str, classes: int | None = None, size: tuple[int, int] | None = None
) -> CountedNetwork:
    known = NETWORK_STRINGS[name]
    height, width = size or known.input_size
    layers = known.layers if classes is None else known.with_classes(classes)
    shape = (known.in_channels, height, width)
    return CountedNetwork(layers, shape, lambda: string_net(name, classes, input_size=size))


def _layers(shape: tuple[int, int, int], layers: str, **arguments: Any) -> CountedNetwork:
    return CountedNetwork(
        layers, shape, lambda: StringNet(layers, shape[0], shape[1:], **arguments)
    )


def _hosted(name: str, shape: tuple[int, int, int], classes: int) -> CountedNetwork:
    description = f"SpikingJelly's {name}, {classes} classes"
    return CountedNetwork(description, shape, lambda: HostedNet(name, classes, shape[0], shape[1:]))


NETWORKS: Mapping[str, CountedNetwork] = {
    "resnet19": _residual(
        "ResNet-19 as TET has it: first convolution to 64 channels, a hidden linear layer of 256",
        _CIFAR,
        depth=19,
        stem_channels=64,
    ),
    "resnet19_events": _residual(
        "ResNet-19 as TET has it, over two polarities", (2, 48, 48), depth=19, stem_channels=64
    ),
    "resnet19_qsnn": _residual(
        "ResNet-19 as Q-SNN has it: first convolution to 128 channels, no hidden linear layer",
        _CIFAR,
        depth=19,
        hidden_features=0,
    ),
    "resnet18": _residual("ResNet-18", _CIFAR, depth=18),
    "resnet20": _residual("ResNet-20", _CIFAR, depth=20),
    "resnet34": _residual("ResNet-34", _IMAGENET, depth=34, stem="large", classes=1000),
    "resnet34_100": _residual(
        "ResNet-34, 100 classes", _IMAGENET, depth=34, stem="large", classes=100
    ),
    "vgg9": _string("vgg9_printed_size"),
    "vgg9_table4": _string("vgg9_table4"),
    "vgg7": _string("vgg7"),
    "mobilenet_light": _string("mobilenet_light"),
    "yolov2": _string("yolov2_printed_size"),
    "yolov2_table4": _string("yolov2_table4"),
    "yolov2_table4_416": _string("yolov2_table4", size=(416, 416)),
    "vgg16_qsnn": _layers(_CIFAR, NETWORK_STRINGS["vgg16_cifar"].layers),
    "vggsnn_qsnn": _layers(
        _CIFAR,
        "64C3-128C3-AP2-256C3x2-AP2-512C3x2-AP2-512C3x2-GAP-FC10",
        conv_bias=False,
    ),
    "plif": _string("plif"),
    "plif_11": _string("plif", classes=11),
    "plif_101": _string("plif", classes=101, size=(180, 240)),
    "decolle": _string("decolle"),
    "cifarnet_fang": _layers(
        _CIFAR,
        "256C3x3-MP2-256C3x3-MP2-FC2048-FC100-AP10",
        conv_bias=False,
        linear_bias=False,
        normalized="convolutions",
    ),
    **{
        name: _hosted(name, _CIFAR, 10)
        for name in ("spikformer_4_256", "spikformer_2_384", "spikformer_4_384")
    },
    **{
        name: _hosted(name, _IMAGENET, 1000)
        for name in (
            "sew_resnet34",
            "sew_resnet50",
            "spikformer_8_384",
            "spikformer_6_512",
            "spikformer_8_512",
            "spikformer_10_512",
            "spikformer_8_768",
        )
    },
}


@cache
def _build(name: str) -> nn.Module:
    # on the meta device a network has shapes and no values: it costs neither memory nor time
    with torch.device("meta"):
        return NETWORKS[name].build()


@cache
def count_network(name: str, spec: QuantSpec) -> NetworkCost:
    """Count the costs of one step of a network, quantized by a spec.

    Args:
        name: A key of `NETWORKS`.
        spec: How it is quantized.

    Returns:
        The costs.

    Raises:
        DataError: If there is no such network.

    Example:
        >>> count_network("plif", QuantSpec.full_precision()).count("weights")
        1691904
    """
    if name not in NETWORKS:
        raise DataError(f"there is no network {name!r}: give one of {', '.join(NETWORKS)}")
    return report(_build(name), spec, (1, 1, *NETWORKS[name].shape))
