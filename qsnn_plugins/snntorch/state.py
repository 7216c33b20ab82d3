"""Membrane quantizers for snnTorch's own neurons."""

from __future__ import annotations

from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import membrane_quantizer
from qsnn_plugins.spec import MembraneSpec

__all__ = ["StateQuant"]


class StateQuant(nn.Module):
    """Membrane quantizer for `state_quant=` of any neuron of snnTorch.

    The host's neuron compares the quantized state with its threshold, so there must be a level
    above the threshold: with ternary levels, a threshold of 1 is never crossed. (`TernaryLeaky`
    compares the unquantized membrane.) With `reset_delay=False`, the host does not quantize again
    after the reset. It applies the quantizer twice per step, so kinds for which a second pass
    changes the result are refused. Parameters, such as a learned scale, become parameters of the
    neuron.

    Args:
        membrane: How the membrane is stored.

    Raises:
        ArgumentError: If a second pass would change the result of the first: "tanh", or a running
            scale.

    Example:
        >>> import snntorch, torch
        >>> lif = snntorch.Leaky(beta=0.5, threshold=0.75, state_quant=StateQuant(MembraneSpec()))
        >>> lif(torch.tensor([0.25, 0.625, -3.0]))
        (tensor([0., 1., 0.]), tensor([ 0.,  1., -1.]))
    """

    def __init__(self, membrane: MembraneSpec) -> None:
        super().__init__()
        if not membrane.is_idempotent:
            allowed = "another: snnTorch quantizes twice a step, and tanh would act each time"
            raise ArgumentError("membrane.kind", membrane.kind, allowed)
        if membrane.kind == "uniform" and membrane.scale == "running":
            allowed = "another: snnTorch quantizes twice a step, and the average would move between"
            raise ArgumentError("membrane.scale", membrane.scale, allowed)
        self.quantizer = membrane_quantizer(membrane)

    def forward(self, mem: Tensor) -> Tensor:
        """Return the quantized membrane, any shape, in its dtype."""
        return self.quantizer(mem)
