"""Finding the neurons of this package in a network, whatever their host."""

from __future__ import annotations

from torch import nn

from qsnn_plugins.spec import QuantSpec

__all__ = ["quantized_neurons"]


def quantized_neurons(network: nn.Module) -> dict[str, nn.Module]:
    """List the neurons that carry a `QuantSpec` by name, in the order of their definition.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> list(quantized_neurons(StringNet("4C3-GAP-FC2")))
        ['blocks.conv1.neuron']
    """
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(getattr(module, "quant_spec", None), QuantSpec)
    }
