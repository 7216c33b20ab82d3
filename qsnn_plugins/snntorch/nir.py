"""Refusal of NIR export, which cannot describe quantized neurons."""

from __future__ import annotations

import torch
from torch import nn

from qsnn_plugins.errors import QSNNError

__all__ = ["refuse_nir"]


def refuse_nir(neuron: nn.Module) -> None:
    """Raise an error if the NIR exporter is at work.

    `snntorch.export_nir.export_to_nir` exports every subclass of Leaky as a plain Leaky. NIR has no
    field for quantized membranes, so the exported network would silently be a different one. The
    exporter can be recognized because it runs a forward pass with nirtorch's `nn.Module.__call__`.

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
            f"NIR export would silently lose the quantization of {type(neuron).__name__}; "
            "qsnn_plugins.export.to_integer keeps it, and eject(network, baked=True) "
            "restores the host's neurons if you want that"
        )
