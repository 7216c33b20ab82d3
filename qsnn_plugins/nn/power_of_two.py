"""Powers of two, and sums of them, as parametrizations."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import QSNNWarning
from qsnn_plugins.functional.scale import (
    MIN_SCALE,
    normalize_gradient,
    round_to_power_of_two,
    wide,
)
from qsnn_plugins.functional.threshold import keep_positive
from qsnn_plugins.functional.weight.power_of_two import (
    additive_integers,
    additive_power_of_two,
    additive_power_of_two_codes,
    power_of_two,
    power_of_two_codes,
    power_of_two_integers,
)
from qsnn_plugins.functional.weight.regulation import Regulation, regulate
from qsnn_plugins.nn.state import StateFacts
from qsnn_plugins.spec.checks import choice
from qsnn_plugins.spec.weight import Fidelity

__all__ = ["AdditivePowerOfTwo", "GridScale", "PowerOfTwo"]

GridScale = Literal["power_of_two", "learned"]


class PowerOfTwo(StateFacts):
    """Parametrization that rounds the weight of a layer to powers of two.

    The defaults follow SpQuant-SNN: α starts at three standard deviations of the weight, is
    learned, and is rounded to the nearest power of two (Eq. 14), so that a product with a spike is
    a shift. With 2 bits α is the only magnitude, and it starts no higher than the largest weight:
    of weights drawn uniformly, as torch initializes layers, all could be rounded to 0 otherwise.
    "released" follows APoT's code: the weight of a layer is standardised with statistics that are
    constants in the backward, and α starts at 3 and is not rounded. The first is the default
    because it needs no multiplications. The buffer `power` holds the last value, which
    `round_to_power_of_two` keeps near a boundary.

    The gradient of α is divided by sqrt(weights · positive levels), as in LSQ. Neither paper prints
    this. With the plain sum, which "released" keeps, a single step of SGD can change α by a large
    factor, and the running statistics of BatchNorm no longer fit.

    Args:
        weight: The weight to quantize, any shape; it determines the initial α.
        bits: Bits per weight, from 2 to 8. With 6 or more, the levels are those of 5 bits, with a
            warning.
        scale: "power_of_two" to round α, or "learned"; None is the default of `fidelity`.
        regulation: Standardise the weights first, per "layer" or per "channel", or "none"; None is
            the default of `fidelity`.
        fidelity: "paper" or "released".

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> from torch.nn.utils import parametrize
        >>> layer = nn.Linear(4, 3)
        >>> quantizer = PowerOfTwo(layer.weight, bits=4)
        >>> _ = parametrize.register_parametrization(layer, "weight", quantizer)
        >>> codes, unit = quantizer.codes(layer.parametrizations.weight.original)
        >>> torch.equal(codes * unit, layer.weight)
        True
        >>> set(codes.flatten().tolist()) <= set(quantizer.levels)
        True
    """

    _integers = staticmethod(power_of_two_integers)
    _quantize = staticmethod(power_of_two)
    _codes = staticmethod(power_of_two_codes)

    scale_count = 1
    power: Tensor

    def __init__(
        self,
        weight: Tensor,
        bits: int = 4,
        scale: GridScale | None = None,
        regulation: Regulation | None = None,
        fidelity: Fidelity = "paper",
    ) -> None:
        super().__init__()
        integers = self._integers(bits)
        released = choice(Fidelity)("fidelity", fidelity) == "released"
        if scale is None:
            scale = "learned" if released else "power_of_two"
        if regulation is None:
            regulation = "layer" if released else "none"
        choice(GridScale)("scale", scale)
        choice(Regulation)("regulation", regulation)
        if len(integers) < 2 ** (bits - 1):
            warnings.warn(
                f"powers of two cannot use {bits} bits: its exponent is capped at "
                f"14, which 5 bits reach; additive_power_of_two uses them",
                QSNNWarning,
                stacklevel=2,
            )
        self.bits, self.regulation, self._rule = bits, regulation, scale
        self.levels = (*(-i for i in reversed(integers[1:])), *integers)
        self._shared_by = None if released else weight.numel()
        self.scale_bits = 8 if scale == "power_of_two" else 32  # an exponent, or a float
        prepared = wide(self._prepare(weight.detach()))
        spread = 3 * prepared.std(correction=0) if regulation == "none" else prepared.new_tensor(3)
        if bits == 2 and not (released and scale == "learned"):
            # below α / 2 all are 0, and no uniformly drawn weight may be above it
            largest = prepared.abs().max()
            spread = torch.where(largest > 0, spread.minimum(largest), spread)
        spread = spread.clamp(min=MIN_SCALE)
        self.alpha = nn.Parameter(spread)
        if scale == "power_of_two":
            self.register_buffer("power", round_to_power_of_two(spread))

    @property
    def scale(self) -> Tensor:
        """What α is used as."""
        alpha = keep_positive(self.alpha, MIN_SCALE)
        if self._shared_by is not None:
            alpha = normalize_gradient(alpha, self._shared_by, len(self.levels) // 2)
        return round_to_power_of_two(alpha, self.power) if self._rule == "power_of_two" else alpha

    def _prepare(self, weight: Tensor) -> Tensor:
        if self.regulation == "none":
            return weight
        return regulate(weight, self.regulation, correction=1, detach=True)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the quantized weight."""
        scale = self.scale
        if self.training and self._rule == "power_of_two":
            self.power.copy_(scale.detach())
        return self._quantize(self._prepare(weight), scale, self.bits)

    def codes(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return int32 codes of a float weight and the unit that they are multiples of."""
        return self._codes(self._prepare(weight).detach(), self.scale.detach(), self.bits)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        alpha = state_dict.get(f"{prefix}alpha")
        if "power" in self._buffers and alpha is not None:  # not in states of earlier versions
            alpha = keep_positive(alpha, MIN_SCALE)
            state_dict.setdefault(f"{prefix}power", round_to_power_of_two(alpha))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def state_facts(self) -> dict[str, Any]:
        """Return what its state dict says of it beside the tensors."""
        return {
            "kind": type(self).__name__,
            "bits": self.bits,
            "scale": self._rule,
            "regulation": self.regulation,
        }

    def extra_repr(self) -> str:
        """Name the bits, the scale and the regulation."""
        return f"bits={self.bits}, scale={self._rule}, regulation={self.regulation}"


class AdditivePowerOfTwo(PowerOfTwo):
    """Parametrization that rounds the weight of a layer to sums of powers of two (APoT).

    Args:
        weight: See `PowerOfTwo`.
        bits: Bits per weight, from 2 to 8; all of them are used.
        scale: See `PowerOfTwo`.
        regulation: See `PowerOfTwo`.
        fidelity: See `PowerOfTwo`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> AdditivePowerOfTwo(torch.randn(8, 8), bits=4).levels
        (-10, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 10)
    """

    _integers = staticmethod(additive_integers)
    _quantize = staticmethod(additive_power_of_two)
    _codes = staticmethod(additive_power_of_two_codes)
