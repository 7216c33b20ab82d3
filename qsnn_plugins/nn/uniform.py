"""Symmetric uniform weights as a parametrization."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from qsnn_plugins.functional.scale import (
    MIN_SCALE,
    Granularity,
    check_bits,
    max_magnitude,
    mean_magnitude,
    normalize_gradient,
    wide,
)
from qsnn_plugins.functional.threshold import keep_positive
from qsnn_plugins.functional.weight.uniform import UniformGradient, uniform, uniform_codes
from qsnn_plugins.nn.state import StateFacts
from qsnn_plugins.spec.checks import choice

__all__ = ["Uniform", "UniformScale"]

UniformScale = Literal["learned", "max"]


class Uniform(StateFacts):
    """Parametrization with symmetric uniform levels (bit budget Eq. 5, with a corrected step).

    The paper does not define the scale γ. "learned" (default) starts at 2 mean|w| sqrt(n), at most
    max|w|, with n = 2^(b-1) - 1; its gradient is divided by sqrt(weights n), as in LSQ and in the
    paper's follow-up. "max" is max|w| in every forward, a constant in the backward. With 8 bits,
    this is the quantizer of the first and last layers in APoT's and Q-SNN's code, except that they
    use the signed maximum by mistake. One bit is sign(w) γ with an unclipped gradient; γ starts at
    mean|w|.

    Args:
        weight: The weight to quantize, shape [out, ...].
        bits: Bits per weight, from 1 to 8.
        scale: "learned" or "max"; with one bit, "max" uses mean|w|.
        per: One scale per "layer" or per output "channel".

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> quantizer = Uniform(torch.randn(8, 4), bits=2, per="channel")
        >>> quantizer.levels, quantizer.scale_count
        ((-1, 0, 1), 8)
    """

    scale_bits = 32

    def __init__(
        self,
        weight: Tensor,
        bits: int = 4,
        scale: UniformScale = "learned",
        per: Granularity = "layer",
    ) -> None:
        super().__init__()
        check_bits("bits", bits)
        choice(UniformScale)("scale", scale)
        self.bits, self.per, self._rule = bits, per, scale
        steps = 2 ** (bits - 1) - 1
        self.levels = tuple(range(-steps, steps + 1)) if bits > 1 else (-1, 1)
        # one bit: γ is a mean, and a clip at it would freeze every weight beyond
        self.gradient: UniformGradient = (
            "straight_through" if bits == 1 else "clipped_straight_through"
        )
        w = wide(weight.detach())
        first = mean_magnitude(w, per)
        if bits > 1:
            first = torch.minimum(2 * first * math.sqrt(steps), max_magnitude(w, per))
        self.scale_count = first.numel()
        self.gamma = nn.Parameter(first.clamp(min=MIN_SCALE)) if scale == "learned" else None

    def scale(self, weight: Tensor) -> Tensor:
        """Return γ for a float weight: a scalar, or shape [out, 1, ...]."""
        if self.gamma is not None:
            gamma = keep_positive(self.gamma, MIN_SCALE)
            weights = weight.numel() // self.scale_count
            return normalize_gradient(gamma, weights, len(self.levels) // 2)
        measure = mean_magnitude if self.bits == 1 else max_magnitude
        return measure(wide(weight.detach()), self.per)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the quantized weight."""
        return uniform(weight, self.scale(weight), self.bits, self.gradient)

    def codes(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the int32 codes of a float weight and their unit."""
        return uniform_codes(weight.detach(), self.scale(weight).detach(), self.bits)

    def state_facts(self) -> dict[str, Any]:
        """Return the options that are saved in the state dict in addition to the tensors."""
        return {
            "kind": type(self).__name__,
            "bits": self.bits,
            "scale": self._rule,
            "per": self.per,
        }

    def extra_repr(self) -> str:
        """Name the bits and the scale."""
        return f"bits={self.bits}, scale={self._rule}, per={self.per}"
