"""Spikes as modules."""

from __future__ import annotations

from torch import Tensor, nn

from qsnn_plugins.functional.spike import heaviside
from qsnn_plugins.functional.surrogate import SurrogateKind, check_surrogate, primitive
from qsnn_plugins.spec import SpikeSpec

__all__ = ["Spike"]


class Spike(nn.Module):
    """One-bit spike of the distance from the threshold, `functional.heaviside`.

    It follows SpikingJelly's contract for surrogate functions (`spiking`, `set_spiking_mode`), so
    that either host can hold it.

    Args:
        surrogate: Surrogate whose derivative replaces that of the step.
        sharpness: Sharpness of the surrogate, above 0.
        fires_at_zero: Whether a membrane exactly at the threshold fires.

    Raises:
        ArgumentError: If `surrogate` is unknown.

    Example:
        >>> import torch
        >>> Spike("triangle")(torch.tensor([-0.1, 0.0, 0.3]))
        tensor([0., 1., 1.])
    """

    def __init__(
        self,
        surrogate: SurrogateKind = "triangle",
        sharpness: float = 1.0,
        fires_at_zero: bool = True,
    ) -> None:
        super().__init__()
        check_surrogate("surrogate", surrogate)
        self.surrogate, self.sharpness, self.fires_at_zero = surrogate, sharpness, fires_at_zero
        self.spiking = True

    @classmethod
    def from_spec(cls, spec: SpikeSpec, fires_at_zero: bool = True) -> Spike:
        """Build the spike that `spec` describes under a host's comparison."""
        return cls(spec.surrogate, spec.sharpness, fires_at_zero)

    def set_spiking_mode(self, spiking: bool) -> None:
        """Choose between spikes (True) and the smooth primitive (False), as SpikingJelly does."""
        self.spiking = spiking

    def forward(self, x: Tensor) -> Tensor:
        """Return spikes of x = h - V_th, any shape."""
        if self.spiking:
            return heaviside(x, self.surrogate, self.sharpness, self.fires_at_zero)
        return primitive(x, self.surrogate, self.sharpness)

    def extra_repr(self) -> str:
        """Name the surrogate."""
        return f"{self.surrogate}, sharpness={self.sharpness}, fires_at_zero={self.fires_at_zero}"
