"""Quantized neurons for snnTorch, with the interface of its own neurons."""

from qsnn_plugins.snntorch.inject import eject, inject
from qsnn_plugins.snntorch.kinds import KBitLeaky, MultiBitLeaky, TernaryLeaky
from qsnn_plugins.snntorch.lapicque import QuantLapicque
from qsnn_plugins.snntorch.multi_step import MultiStep
from qsnn_plugins.snntorch.neuron import QuantLeaky
from qsnn_plugins.snntorch.reset import reset_net
from qsnn_plugins.snntorch.state import StateQuant
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spec.checks import boolean

__all__ = [
    "KBitLeaky",
    "MultiBitLeaky",
    "MultiStep",
    "QuantLapicque",
    "QuantLeaky",
    "StateQuant",
    "TernaryLeaky",
    "build_neuron",
    "eject",
    "inject",
    "reset_net",
]


def build_neuron(
    spec: QuantSpec, channels: int | None = None, decay_input: bool = False
) -> MultiStep:
    """Build the multi-step neuron that `spec` describes, over time-major input [T, N, ...].

    It is the neuron of the papers, u[t] = 0.5 u[t-1] + x[t], with a hard reset in the same step.

    Args:
        spec: How the neuron is quantized; its weight part is not used here.
        channels: Channels of its input; needed for learned thresholds per channel.
        decay_input: Whether the input is halved too.

    Raises:
        ArgumentError: If `channels` is needed and missing, or `decay_input` is not True or False.

    Example:
        >>> build_neuron(QuantSpec()).neuron.reset_mechanism
        'zero'
    """
    neuron = QuantLeaky(
        beta=0.5,
        init_hidden=True,
        reset_mechanism="zero",
        reset_delay=False,
        spec=spec,
        channels=channels,
    )
    return MultiStep(neuron, gain=0.5 if boolean("decay_input", decay_input) else None)
