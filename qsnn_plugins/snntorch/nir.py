"""NIR export, which has no word for a quantized neuron."""

from __future__ import annotations

import torch
from torch import nn

from qsnn_plugins.errors import QSNNError

__all__ = ["refuse_nir"]


def refuse_nir(neuron: nn.Module) -> None:
    """Raise an error if the NIR exporter is at work.

    `snntorch.export_nir.export_to_nir` takes every subclass of Leaky for a plain one: NIR has no
    field for what is stored of a membrane, so that another network would come out without a word.
    The exporter leaves one trace, a forward pass during which `nn.Module.__call__` is nirtorch's.

    Args:
        neuron: A quantized neuron that is being run.

    Raises:
        QSNNError: If nirtorch runs it.

    Example:
        >>> refuse_nir(nn.Identity())
    """
    if torch.compiler.is_compiling():
        return
    if nn.Module.__call__.__module__.startswith("nirtorch"):
        raise QSNNError(
            f"NIR export would lose the quantization of {type(neuron).__name__} without a word; "
            "qsnn_plugins.export.to_integer keeps it, and eject(network, baked=True) gives the "
            "host's neurons back where that is meant"
        )
