"""What all networks of this package share: time-major input, neurons of a host, one interface."""

from __future__ import annotations

from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models.host import HostName, load_host
from qsnn_plugins.nn import quantize_weights
from qsnn_plugins.spec import QuantSpec

__all__ = ["TimeDistributed", "TimeMajorNet", "begin_wide"]

_RATE = 1 / 6


def begin_wide(layer: nn.Conv2d | nn.Linear, averaged: bool = False) -> None:
    """Draw the weights of a layer that feeds a neuron without normalization in between.

    Where neurons fire at a rate r = 1/6, a variance of 1 / (r fan-in) gives the next ones an input
    of variance 1, the threshold; behind global pooling, which leaves the rates themselves, it is
    1 / (r² fan-in). torch's own, 1 / (3 fan-in), leaves all neurons from the second layer on
    silent.

    Args:
        layer: A layer whose weight is a plain parameter.
        averaged: Whether its input is averaged over a map.

    Example:
        >>> import torch
        >>> layer = nn.Linear(600, 200)
        >>> begin_wide(layer)
        >>> round(float(layer.weight.detach().std()), 2)
        0.1
    """
    mean_square = _RATE**2 if averaged else _RATE
    nn.init.normal_(layer.weight, std=(mean_square * layer.weight[0].numel()) ** -0.5)


class TimeDistributed(nn.Sequential):
    """Layers without state, applied to every step of time-major input at once.

    [T, N, ...] is folded to [T·N, ...] and back, so that batch normalization sees all steps.

    Example:
        >>> import torch
        >>> TimeDistributed(nn.Flatten(), nn.Linear(8, 3))(torch.rand(4, 1, 2, 2, 2)).shape
        torch.Size([4, 1, 3])
    """

    def forward(self, x_seq: Tensor) -> Tensor:
        """Map [T, N, ...] to [T, N, ...]."""
        return super().forward(x_seq.flatten(0, 1)).unflatten(0, x_seq.shape[:2])


class TimeMajorNet(nn.Module):
    """Network over [T, N, C, H, W] that begins empty; who builds it fills `blocks` in order.

    Args:
        in_channels: Channels of the input, from 1.
        spec: How the network is quantized.
        host: Whose neurons it is built of.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> network = TimeMajorNet(in_channels=2)
        >>> network.blocks.append(network.neuron(channels=2)) is network.blocks
        True
        >>> network.finish(out_channels=2)
        >>> network(torch.rand(4, 1, 2, 3, 3)).shape
        torch.Size([4, 1, 2, 3, 3])
    """

    def __init__(
        self,
        in_channels: int,
        spec: QuantSpec | None = None,
        host: HostName = "spikingjelly",
    ) -> None:
        super().__init__()
        if in_channels < 1:
            raise ArgumentError("in_channels", in_channels, "an integer from 1")
        self.in_channels, self.spec, self.host_name = in_channels, spec or QuantSpec(), host
        load_host(host)
        self.out_channels = 0
        self.blocks = nn.Sequential()

    def neuron(self, channels: int) -> nn.Module:
        """Build a neuron of the host as the spec says, over so many channels."""
        return load_host(self.host_name).build_neuron(self.spec, channels)

    def with_neuron(self, synapse: nn.Module, channels: int) -> nn.Sequential:
        """Put a neuron after a synapse; the two are named so."""
        block = nn.Sequential()
        block.add_module("synapse", synapse)
        block.add_module("neuron", self.neuron(channels))
        return block

    def finish(self, out_channels: int) -> None:
        """Say how many outputs there are, and quantize the weights as the spec says."""
        self.out_channels = out_channels
        quantize_weights(self, self.spec.weight)

    def reset_states(self) -> None:
        """Forget the states of all neurons."""
        load_host(self.host_name).reset_net(self)

    def forward(self, x_seq: Tensor) -> Tensor:
        """Map input [T, N, C, H, W] to logits [T, N, K] of every step.

        Raises:
            ArgumentError: If the input has another number of dimensions or channels.
        """
        if x_seq.dim() != 5 or x_seq.shape[2] != self.in_channels:
            allowed = f"[T, N, {self.in_channels}, H, W] (the network's in_channels)"
            raise ArgumentError("input shape", list(x_seq.shape), allowed)
        return self.blocks(x_seq)
