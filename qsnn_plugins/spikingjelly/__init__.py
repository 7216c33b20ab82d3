"""Plugins for SpikingJelly: neurons that feel native there."""

from qsnn_plugins.torchvision_ops import mend

mend()  # SpikingJelly's model builders import torchvision

from spikingjelly.activation_based.functional import reset_net  # noqa: E402

from qsnn_plugins.spec import QuantSpec  # noqa: E402
from qsnn_plugins.spikingjelly.networks import build_network  # noqa: E402
from qsnn_plugins.spikingjelly.neuron import QuantLIFNode, TernaryLIFNode  # noqa: E402

__all__ = ["QuantLIFNode", "TernaryLIFNode", "build_network", "build_neuron", "reset_net"]


def build_neuron(spec: QuantSpec, channels: int | None = None) -> QuantLIFNode:
    """Build the multi-step neuron that `spec` describes, over `channels` where it asks for them.

    Example:
        >>> build_neuron(QuantSpec()).step_mode
        'm'
    """
    return QuantLIFNode(step_mode="m", spec=spec, channels=channels)
