"""MINT's weights as a parametrization."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from qsnn_plugins.functional.scale import MIN_SCALE, normalize_gradient
from qsnn_plugins.functional.threshold import keep_positive
from qsnn_plugins.functional.weight.mint import mint, mint_bound, mint_codes, mint_initial_beta
from qsnn_plugins.nn.state import StateFacts
from qsnn_plugins.spec.checks import choice

__all__ = ["Mint", "MintScale"]

MintScale = Literal["learned", "max"]


class Mint(StateFacts):
    """Parametrization with MINT's levels, `functional.mint`, for comparison.

    "learned" is one β per layer, which the membranes of the layer share by
    `UniformMembrane.share_scale(quantizer.beta)`. The gradients of weights and membranes are each
    normalized by their own number of values; the released code sums them first, and normalizes the
    sum by that of the weights. "max" is the form without sharing.

    Args:
        weight: The weight to quantize, any shape; it determines the initial β.
        bits: Bits per weight, from 2 to 8.
        scale: "learned" or "max".

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> quantizer = Mint(torch.full((2, 2), 0.5), bits=2)
        >>> quantizer(torch.tensor([0.1, 0.9]))
        tensor([0., 1.], grad_fn=<MulBackward0>)
    """

    scale_count = 1
    scale_bits = 32

    def __init__(self, weight: Tensor, bits: int = 4, scale: MintScale = "learned") -> None:
        super().__init__()
        first = mint_initial_beta(weight, bits)
        choice(MintScale)("scale", scale)
        steps = 2 ** (bits - 1) - 1
        self.bits, self.levels, self._rule = bits, tuple(range(-steps, steps + 1)), scale
        self.beta = nn.Parameter(first.clamp(min=MIN_SCALE)) if scale == "learned" else None

    def beta_in_use(self, weight: Tensor) -> Tensor:
        """Return β for a float weight, as a scalar."""
        if self.beta is None:
            return mint_bound(weight)
        beta = keep_positive(self.beta, MIN_SCALE)
        return normalize_gradient(beta, weight.numel(), len(self.levels) // 2)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the quantized weight."""
        return mint(weight, self.beta_in_use(weight), self.bits)

    def codes(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the int32 codes of a float weight and their unit."""
        return mint_codes(weight.detach(), self.beta_in_use(weight).detach(), self.bits)

    def state_facts(self) -> dict[str, Any]:
        """Return the options that are saved in the state dict in addition to the tensors."""
        return {"kind": type(self).__name__, "bits": self.bits, "scale": self._rule}

    def extra_repr(self) -> str:
        """Name the bits and the scale."""
        return f"bits={self.bits}, scale={self._rule}"
