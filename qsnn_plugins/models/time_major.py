"""What all networks of this package share: time-major input, neurons of a host, one interface."""

from __future__ import annotations

from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models.host import HostName, load_host
from qsnn_plugins.nn import quantize_weights
from qsnn_plugins.spec import QuantSpec

__all__ = ["TimeDistributed", "TimeMajorNet"]


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
        spec: QuantSpec = QuantSpec(),  # noqa: B008 - frozen
        host: HostName = "spikingjelly",
    ) -> None:
        super().__init__()
        if in_channels < 1:
            raise ArgumentError("in_channels", in_channels, "an integer from 1")
        self.in_channels, self.spec, self._host = in_channels, spec, load_host(host)
        self.out_channels = 0
        self.blocks = nn.Sequential()

    def neuron(self, channels: int) -> nn.Module:
        """Build a neuron of the host as the spec says, over so many channels."""
        return self._host.build_neuron(self.spec, channels)

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
        self._host.reset_net(self)

    def forward(self, x_seq: Tensor) -> Tensor:
        """Map input [T, N, C, H, W] to logits [T, N, K] of every step.

        Raises:
            ArgumentError: If the input has another number of dimensions or channels.
        """
        if x_seq.dim() != 5 or x_seq.shape[2] != self.in_channels:
            allowed = f"[T, N, {self.in_channels}, H, W] (the network's in_channels)"
            raise ArgumentError("input shape", list(x_seq.shape), allowed)
        return self.blocks(x_seq)
