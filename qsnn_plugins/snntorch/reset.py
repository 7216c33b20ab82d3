"""Resetting the states of a network."""

from __future__ import annotations

from snntorch import SpikingNeuron
from torch import nn

from qsnn_plugins.snntorch.neuron import QuantLeaky

__all__ = ["reset_net"]


def reset_net(network: nn.Module) -> None:
    """Reset the states of all neurons of a network, at any depth, and of no other network.

    snnTorch's `utils.reset` looks only at direct children, and then resets all existing neurons of
    the classes that it found, even in other networks. This function also resets neurons of the
    host's own classes. States are detached.

    Args:
        network: A network, or a neuron.

    Example:
        >>> import snntorch, torch
        >>> network = nn.Sequential(nn.Sequential(snntorch.Leaky(beta=0.5, init_hidden=True)))
        >>> spikes = network(torch.full((1, 2), 0.75))
        >>> reset_net(network)
        >>> network[0][0].mem
        tensor([[0., 0.]])
    """
    for module in network.modules():
        if isinstance(module, SpikingNeuron) and hasattr(module, "reset_mem"):
            module.reset_mem()
            if isinstance(module, QuantLeaky):
                module.mem = module.mem.new_zeros(0)  # the next input may have any shape
