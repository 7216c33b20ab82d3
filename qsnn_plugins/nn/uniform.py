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
    """Parametrization with symmetric uniform levels (bit budget Eq. 5, its step mended).

    The paper names no scale γ. "learned", the default, starts at 2 mean|w| sqrt(n), at most
    max|w|, n = 2^(b-1) - 1, and has its gradient divided by sqrt(weights n), as in LSQ and in the
    paper's follow-up. "max" is max|w| of every forward, a constant in the backward: with
    8 bits it is what first and last layers get in APoT's and Q-SNN's code, whose signed maximum is
    mended here. One bit is sign(w) γ, γ starting at mean|w|, with a gradient that is not clipped.

    Args:
        weight: The weight that is going to be quantized, shape [out, ...].
        bits: Bits a weight, from 1 to 8.
        scale: "learned" or "max"; one bit takes mean|w| for the latter.
        per: Whether a "layer" or each output "channel" has a scale.

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
        """Return int32 codes of a float weight and the unit that they are multiples of."""
        return uniform_codes(weight.detach(), self.scale(weight).detach(), self.bits)

    def state_facts(self) -> dict[str, Any]:
        """Return what its state dict says of it beside the tensors."""
        return {
            "kind": type(self).__name__,
            "bits": self.bits,
            "scale": self._rule,
            "per": self.per,
        }

    def extra_repr(self) -> str:
        """Name the bits and the scale."""
        return f"bits={self.bits}, scale={self._rule}, per={self.per}"
