"""The papers' networks with a layer string, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qsnn_plugins.models.layers import parse_layers
from qsnn_plugins.models.string_net import Normalized, StringNet
from qsnn_plugins.models.time_major import HostName, Init
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spec.checks import choice, integer

__all__ = ["NETWORK_STRINGS", "NetworkString", "string_net"]


@dataclass(frozen=True)
class NetworkString:
    """A layer string, with the facts that a string does not contain.

    Args:
        source: Where it is printed, and which choices we made.
        layers: The layer string, see `parse_layers`.
        in_channels: Channels of the input.
        input_size: (height, width) of the input.
        conv_bias: Whether convolutions have biases.
        linear_bias: Whether linear layers have them.
        normalized: Which layers before a neuron have batch normalization.

    Example:
        >>> NETWORK_STRINGS["vgg9_mint"].normalized
        'none'
    """

    source: str
    layers: str
    in_channels: int = 2
    input_size: tuple[int, int] = (48, 48)
    conv_bias: bool = True
    linear_bias: bool = True
    normalized: Normalized = "all"

    def with_classes(self, classes: int) -> str:
        """Return the string with another number of classes, and as many voters per class as before.

        Raises:
            ArgumentError: If there are no classes.

        Example:
            >>> NETWORK_STRINGS["plif"].with_classes(11)
            '(128C3-MP2)x5-FC512-FC110-AP10'
        """
        classes = integer(1)("classes", classes)
        before, _, last = self.layers.rpartition("-FC")
        tokens = parse_layers(f"FC{last}")
        voters = tokens[1].size if len(tokens) > 1 else 1
        return "-".join([before, f"FC{classes * voters}", *(t.text for t in tokens[1:])])


_VGG16 = "64C3x2-MP2-128C3x2-MP2-256C3x3-MP2-512C3x3-MP2-512C3x3-AP2-FC10"

NETWORK_STRINGS: Mapping[str, NetworkString] = MappingProxyType(
    {
        "mobilenet_light": NetworkString(
            "IM-SNN Table IV",
            "32C3-64DW-64DW-AP2-128DW-128DW-AP2-256DW-AP2-FC256-FC10",
        ),
        "vgg7": NetworkString(
            "IM-SNN Table IV",
            "32C3x2-AP2-64C3x2-AP2-128C3x2-AP2-256C3x2-AP2-FC10",
        ),
        "vgg9_printed_size": NetworkString(
            "the network that has the 41.12 MB of weights and the 3.68 MB of membranes that "
            "IM-SNN Table VI and SpQuant-SNN Table 7 print",
            "64C3-128C3-AP2-256C3x2-AP2-512C3x2-AP2-1024C3-GAP-FC1024-FC10",
        ),
        "vgg9_table4": NetworkString(
            "IM-SNN Table IV, to the letter: 14.03 M weights",
            "64C3-128C3-AP2-256C3x2-AP2-512C3x4-AP2-1024C3-AP2-FC10",
        ),
        "vgg9_released": NetworkString(
            "the released code of IM-SNN and SpQuant-SNN: VGGSNN over RGB frames",
            "64C3-128C3-AP2-256C3x2-AP2-512C3x2-AP2-512C3x2-AP2-FC10",
            in_channels=3,
        ),
        "vggsnn": NetworkString(
            "TET's network for event cameras, in Q-SNN too",
            "64C3-128C3-AP2-256C3x2-AP2-512C3x2-AP2-512C3x2-AP2-FC10",
        ),
        "yolov2_printed_size": NetworkString(
            "the network that has the 103.46 MB of weights that IM-SNN Table VII prints, and the "
            "released one: a grid of 6 x 8 cells with two boxes and two classes. The padding of "
            "its 1 x 1 convolutions gives the 3 x 3 map before the linear layers. The printed "
            "59.87 MB of membranes are those of `yolov2_table4` over 416 x 416 pixels",
            "32C3-MP2-64C3-MP2-128C3-64C1P1-128C3-MP2-256C3-128C1P1-256C3-MP2-"
            "512C3-2x(256C1P1-512C3)-MP2-1024C3-2x(512C1P1-1024C3)-MP2-1024C1-AP2-FC512-FC576",
            input_size=(224, 288),
            conv_bias=False,
        ),
        "yolov2_table4": NetworkString(
            "IM-SNN Table IV, to the letter: 17.61 M weights, 70.43 MB, over 224 x 288 pixels",
            "32C3-MP2-64C3-MP2-128C3-64C1-128C3-MP2-256C3-128C1-256C3-MP2-"
            "512C3-256C1-512C3-256C1-MP2-1024C3-512C1-1024C3-AP2-FC512-FC576",
            input_size=(224, 288),
            conv_bias=False,
        ),
        "vgg16_cifar": NetworkString(
            "MINT", _VGG16, in_channels=3, input_size=(32, 32), conv_bias=False
        ),
        "vgg16_tiny_imagenet": NetworkString(
            "MINT, in Q-SNN too",
            _VGG16.replace("FC10", "FC200"),
            in_channels=3,
            input_size=(64, 64),
            conv_bias=False,
        ),
        "vgg9_mint": NetworkString(
            "MINT",
            "64C3x2-MP2-128C3x2-MP2-256C3x3-GAP-FC10",
            in_channels=3,
            input_size=(32, 32),
            conv_bias=False,
            normalized="none",
        ),
        "plif": NetworkString(
            "Shymyrbay et al., Table I: 100 outputs for CIFAR10-DVS (128 x 128), for N-MNIST "
            "(34 x 34) too, 110 for DVS128 Gesture, 1010 for N-Caltech101 (180 x 240). The printed "
            "6.46 MiB have no biases, and normalization after convolutions only",
            "(128C3-MP2)x5-FC512-FC100-AP10",
            input_size=(128, 128),
            conv_bias=False,
            linear_bias=False,
            normalized="convolutions",
        ),
        "decolle": NetworkString(
            "Shymyrbay et al., Table V, rebuilt from the text and the printed 4.84 MB, which are "
            "the convolutions alone; DECOLLE's readouts are not trained, so one is added at the "
            "end",
            "64C7-MP2-128C7x2-MP2-GAP-FC10",
            input_size=(34, 34),
            conv_bias=False,
            linear_bias=False,
        ),
    }
)


def string_net(
    name: str,
    classes: int | None = None,
    in_channels: int | None = None,
    input_size: tuple[int, int] | None = None,
    normalized: Normalized | None = None,
    width: float = 1.0,
    spec: QuantSpec | None = None,
    host: HostName = "spikingjelly",
    overrides: dict[str, QuantSpec | None] | None = None,
    decay_input: bool = False,
    init: Init = "torch",
) -> StringNet:
    """Build one of `NETWORK_STRINGS`; None stands for the paper's value.

    Args:
        name: A key of `NETWORK_STRINGS`.
        classes: Number of classes.
        in_channels: Channels of the input.
        input_size: (height, width) of the input.
        normalized: Which layers before a neuron have batch normalization.
        width: Factor on the channels of all layers except the last linear one, above 0.
        spec: How the network is quantized; None is `QuantSpec()`, see `TimeMajorNet`.
        host: Library whose neurons are used, "spikingjelly" or "snntorch".
        overrides: Other specs for modules whose names match a pattern, see `TimeMajorNet`.
        decay_input: Whether neurons divide their input by tau, see `TimeMajorNet`.
        init: Initialization of convolutions with normalization, "torch" or "kaiming_fan_out", see
            `TimeMajorNet`.

    Returns:
        The network.

    Raises:
        ArgumentError: If there is no such network, or another argument is not allowed.

    Example:
        >>> string_net("plif", classes=11, input_size=(34, 34)).out_channels
        11
    """
    known = NETWORK_STRINGS[choice(NETWORK_STRINGS)("name", name)]
    return StringNet(
        known.layers if classes is None else known.with_classes(classes),
        known.in_channels if in_channels is None else in_channels,
        known.input_size if input_size is None else input_size,
        spec,
        host,
        known.conv_bias,
        known.linear_bias,
        known.normalized if normalized is None else normalized,
        width,
        overrides,
        decay_input,
        init,
    )
