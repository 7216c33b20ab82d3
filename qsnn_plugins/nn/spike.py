"""Spikes as modules."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import check_bits
from qsnn_plugins.functional.spike import (
    MOST_SPIKE_BITS,
    heaviside,
    limit_sums,
    limited_attention,
    multi_bit_primitive,
    multi_bit_spike,
)
from qsnn_plugins.functional.surrogate import SurrogateKind, check_surrogate, primitive
from qsnn_plugins.spec import SpikeSpec

__all__ = ["Spike", "SumLimit", "check_comparison"]


def check_comparison(argument: str, fire: Any, spec: SpikeSpec, host: bool) -> None:
    """Raise an error if a surrogate fires at the threshold where a spec says no, or not where yes.

    Args:
        argument: Its name.
        fire: A surrogate that a neuron is given, or None for the spec's own.
        spec: Of the neuron's spikes.
        host: Whether the host's surrogates fire exactly at the threshold.

    Example:
        >>> check_comparison("spike_grad", nn.Identity(), SpikeSpec(comparison="greater"), False)
    """
    own = fire.fires_at_zero if isinstance(fire, Spike) else host
    if fire is not None and spec.comparison != "host" and own != spec.fires_at_threshold(host):
        allowed = f"None: it does not fire as the spec's comparison says, {spec.comparison!r}"
        raise ArgumentError(argument, fire, allowed)


class Spike(nn.Module):
    """Spikes from the distance to the threshold: `functional.heaviside` or `multi_bit_spike`.

    It has the interface of SpikingJelly's surrogate functions (`spiking`, `set_spiking_mode`), so
    both hosts can use it.

    Args:
        surrogate: Surrogate whose derivative replaces that of the step function, for one-bit
            spikes.
        sharpness: Sharpness of the surrogate, above 0.
        fires_at_zero: Whether a membrane exactly at the threshold fires.
        bits: Bits of the spike; multi-bit spikes count how many thresholds fit into the membrane.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> Spike("triangle")(torch.tensor([-0.1, 0.0, 0.3]))
        tensor([0., 1., 1.])
        >>> Spike(bits=2)(torch.tensor([-0.1, 0.0, 1.3, 9.0]))
        tensor([0., 1., 2., 3.])
    """

    def __init__(
        self,
        surrogate: SurrogateKind = "triangle",
        sharpness: float = 1.0,
        fires_at_zero: bool = True,
        bits: int = 1,
    ) -> None:
        super().__init__()
        check_surrogate("surrogate", surrogate)
        check_bits("bits", bits, most=MOST_SPIKE_BITS)
        if not sharpness > 0:
            raise ArgumentError("sharpness", sharpness, "a number above 0")
        self.surrogate, self.sharpness, self.fires_at_zero = surrogate, sharpness, fires_at_zero
        self.bits = bits
        self.spiking = True

    @classmethod
    def from_spec(cls, spec: SpikeSpec, fires_at_zero: bool = True) -> Spike:
        """Build the spike of a spec; its comparison may be that of the host."""
        fires_at_zero = spec.fires_at_threshold(fires_at_zero)
        if spec.bits > 1:
            return cls(fires_at_zero=fires_at_zero, bits=spec.bits)
        return cls(spec.surrogate, spec.sharpness, fires_at_zero)

    def set_spiking_mode(self, spiking: bool) -> None:
        """Choose between spikes (True) and the smooth primitive (False), as in SpikingJelly."""
        self.spiking = spiking

    def forward(self, x: Tensor, threshold: Tensor | float = 1.0) -> Tensor:
        """Return spikes of x = h - V_th, any shape; several bits count in steps of V_th."""
        if self.bits > 1:
            if self.spiking:
                return multi_bit_spike(x, threshold, self.bits, self.fires_at_zero)
            return multi_bit_primitive(x, threshold, self.bits)
        if self.spiking:
            return heaviside(x, self.surrogate, self.sharpness, self.fires_at_zero)
        return primitive(x, self.surrogate, self.sharpness)

    def extra_repr(self) -> str:
        """Name the surrogate, or the bits."""
        how = f"{self.surrogate}, sharpness={self.sharpness}"
        if self.bits > 1:
            how = f"bits={self.bits}"
        return f"{how}, fires_at_zero={self.fires_at_zero}"


class SumLimit(nn.Module):
    """Limits sums of spikes to the bits of a spike: `functional.limit_sums`.

    Args:
        bits: S, from 1 to 16.
        unit: Value of a count of 1, above 0.

    Raises:
        ArgumentError: If `bits` or `unit` is not allowed.

    Example:
        >>> import torch
        >>> SumLimit(bits=2)(torch.tensor([1.0, 6.0]))
        tensor([1., 3.])
    """

    def __init__(self, bits: int, unit: float = 1.0) -> None:
        super().__init__()
        check_bits("bits", bits, most=MOST_SPIKE_BITS)
        if not unit > 0:
            raise ArgumentError("unit", unit, "a number above 0")
        self.bits, self.unit = bits, unit

    def forward(self, x: Tensor) -> Tensor:
        """Return limited sums, any shape."""
        return limit_sums(x, self.bits, self.unit)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """Return attention with a limited matrix, [..., L, D]: `functional.limited_attention`."""
        return limited_attention(q, k, v, self.bits, self.unit, scale)

    def extra_repr(self) -> str:
        """Name the bits, and the unit where it is not 1."""
        return f"bits={self.bits}" + f", unit={self.unit:g}" * (self.unit != 1)
