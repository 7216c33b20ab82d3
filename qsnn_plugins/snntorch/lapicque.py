"""Lapicque's neuron with a quantized membrane."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from qsnn_plugins.functional.neuron import reset
from qsnn_plugins.snntorch.neuron import QuantLeaky

__all__ = ["QuantLapicque"]


class QuantLapicque(QuantLeaky):
    r"""Lapicque neuron of snnTorch whose membrane is stored as a `QuantSpec` says.

        h[t] = (1 - Δt / RC) m[t-1] + (Δt / C) x[t]

    The reset lands one step later, as that of `snntorch.Lapicque`; "zero" takes the new charge
    with it, so that h is 0 in the step after a spike. All else is that of `QuantLeaky`, whose
    class it has for the tools of snnTorch.

    Args:
        leak: 1 - Δt / RC, from 0 to 1.
        gain: Δt / C.
        threshold: See `QuantLeaky`.
        **named: Further arguments of `QuantLeaky`, other than `reset_delay`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> lif = QuantLapicque(leak=0.5, gain=0.25, reset_mechanism="zero")
        >>> spk, mem = lif(torch.tensor([3.0, 5.0]))
        >>> spk, lif(torch.tensor([1.0, 5.0]), mem)[1]
        (tensor([0., 1.]), tensor([1., 0.]))
    """

    gain: Tensor

    def __init__(
        self, leak: Tensor | float, gain: Tensor | float, threshold: Tensor | float = 1.0,
        **named: Any,
    ) -> None:  # fmt: skip
        super().__init__(leak, threshold, reset_delay=True, **named)
        self._is_plain = False  # the host's forward is Leaky's
        self.register_buffer("gain", self.beta.new_tensor(float(gain)))

    def fused(self, x_seq: Tensor) -> None:
        """Leave the steps to the loop: no kernel charges so."""

    def _charge(self, x: Tensor, m: Tensor, owed: Tensor | None, threshold: Tensor) -> Tensor:
        h = self.beta.to(x.dtype) * m + self.gain.to(x.dtype) * x
        if owed is None:
            return h
        return reset(h, owed, threshold, None if self.reset_mechanism == "subtract" else 0.0)
