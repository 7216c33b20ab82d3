"""Quantized neurons for SpikingJelly, with the interface of its own neurons."""

from qsnn_plugins.torchvision_ops import register_missing_ops

register_missing_ops()  # SpikingJelly's model builders import torchvision

from spikingjelly.activation_based.functional import reset_net  # noqa: E402

from qsnn_plugins.spec import QuantSpec  # noqa: E402
from qsnn_plugins.spikingjelly.base import QuantNode  # noqa: E402
from qsnn_plugins.spikingjelly.inject import eject, inject  # noqa: E402
from qsnn_plugins.spikingjelly.kinds import (  # noqa: E402
    KBitIFNode,
    KBitLIFNode,
    MultiBitIFNode,
    MultiBitLIFNode,
    TernaryIFNode,
    TernaryLIFNode,
)
from qsnn_plugins.spikingjelly.networks import build_network  # noqa: E402
from qsnn_plugins.spikingjelly.neuron import (  # noqa: E402
    QuantIFNode,
    QuantLIFNode,
    QuantParametricLIFNode,
)

__all__ = [
    "KBitIFNode",
    "KBitLIFNode",
    "MultiBitIFNode",
    "MultiBitLIFNode",
    "QuantIFNode",
    "QuantLIFNode",
    "QuantNode",
    "QuantParametricLIFNode",
    "TernaryIFNode",
    "TernaryLIFNode",
    "build_network",
    "build_neuron",
    "eject",
    "inject",
    "reset_net",
]


def build_neuron(
    spec: QuantSpec, channels: int | None = None, decay_input: bool = False
) -> QuantLIFNode:
    """Build the multi-step neuron that `spec` describes, over time-major input [T, N, ...].

    Args:
        spec: How the neuron is quantized; its weight part is not used here.
        channels: Channels of its input; needed for learned thresholds per channel.
        decay_input: Whether the input is also divided by tau = 2.

    Raises:
        ArgumentError: If `channels` is needed and missing.

    Example:
        >>> build_neuron(QuantSpec()).step_mode
        'm'
    """
    return QuantLIFNode(decay_input=decay_input, step_mode="m", spec=spec, channels=channels)
