"""Export to NIR that drops no quantization without a word."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.snntorch.checks import is_plain
from qsnn_plugins.snntorch.neuron import QuantLeaky

__all__ = ["export_to_nir"]


def export_to_nir(network: nn.Module, sample_data: Tensor, **options: Any) -> Any:
    """Export a network to NIR as `snntorch.export_nir.export_to_nir` does, or refuse.

    NIR's leaky neuron has no field for what is stored of a membrane, nor for spikes of several
    bits, learned thresholds on a separate path or pruning. The host exports a subclass of Leaky as
    a plain one, so a network with quantized neurons would come out as another network.

    Args:
        network: A network of snnTorch.
        sample_data: Input of one step.
        **options: Further arguments of the host's function.

    Returns:
        The NIR graph.

    Raises:
        ArgumentError: If the network has a quantized neuron.
        ImportError: If NIR is not installed.

    Example:
        >>> import torch
        >>> from qsnn_plugins.snntorch import TernaryLeaky
        >>> export_to_nir(nn.Sequential(TernaryLeaky(beta=0.5)), torch.zeros(1, 2))
        Traceback (most recent call last):
        ...
        qsnn_plugins.errors.ArgumentError: network='Sequential' is not allowed: \
give one whose neurons are not quantized: NIR would drop it from 0 (TernaryLeaky)
    """
    for name, module in network.named_modules():
        if isinstance(module, QuantLeaky) and not is_plain(module.quant_spec):
            where = f"{name or 'it'} ({type(module).__name__})"
            allowed = f"one whose neurons are not quantized: NIR would drop it from {where}"
            raise ArgumentError("network", type(network).__name__, allowed)
    from snntorch.export_nir import export_to_nir as export  # needs the package nir

    return export(network, sample_data, **options)
