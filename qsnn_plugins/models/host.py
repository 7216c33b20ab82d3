"""The hosts by name, so that a network can be built for either."""

from __future__ import annotations

from importlib import import_module
from typing import Literal, Protocol, get_args

from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec import QuantSpec

__all__ = ["Host", "HostName", "load_host"]

HostName = Literal["spikingjelly", "snntorch"]


class Host(Protocol):
    """What a network needs of a host's folder."""

    @staticmethod
    def build_neuron(spec: QuantSpec, channels: int | None = None) -> nn.Module:
        """Build a neuron over time-major input [T, N, ...] of so many channels."""

    @staticmethod
    def reset_net(network: nn.Module) -> None:
        """Forget the states of all neurons of a network."""


def load_host(name: HostName) -> Host:
    """Import a host's folder by its name.

    Raises:
        ArgumentError: If there is no such host.

    Example:
        >>> load_host("spikingjelly").build_neuron(QuantSpec()).v_threshold
        1.0
    """
    if name not in get_args(HostName):
        raise ArgumentError("host", name, f"one of {', '.join(get_args(HostName))}")
    return import_module(f"qsnn_plugins.{name}")  # type: ignore[return-value]
