"""Binary weights as a parametrization."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import (
    Granularity,
    mean_magnitude,
    round_to_power_of_two,
    wide,
)
from qsnn_plugins.functional.weight.binary import BinaryGradient, binary, binary_codes, ede_schedule
from qsnn_plugins.functional.weight.regulation import Regulation, regulate
from qsnn_plugins.nn.neuron import shown
from qsnn_plugins.nn.state import StateFacts
from qsnn_plugins.spec.checks import choice

__all__ = ["Binary", "BinaryScale"]

BinaryScale = Literal["mean", "power_of_two"]


class Binary(StateFacts):
    """Parametrization with one-bit weights and a scale per channel (Q-SNN Eq. 6, 7 and 14).

    The defaults follow the paper: the layer is standardised (Eq. 14, WS-DR), and γ is the mean of
    |ŵ| in each output channel. The paper does not print the gradient. Here the gradient of the sign
    is straight-through where |ŵ| <= 1, and γ is a constant, as in the released code. The 32 % of
    standardised weights beyond 1 then get no gradient; with `gradient="ede"`, as in the code, all
    of them get one early in the training.

    The released code is `scale="power_of_two", regulation="channel", gradient="ede"`: channels are
    standardised with the unbiased variance, γ = 2^round(log2 mean|ŵ|), and the gradient is the
    error decay estimator, which sharpens with `set_epoch`. In that code, the 1 x 1 shortcuts keep k
    = 10 and t = 0.2, because the loop that updates the other layers skips them; this is not
    reproduced here.

    Args:
        weight: The weight to quantize, shape [out, ...].
        scale: "mean" or "power_of_two".
        per: One scale per "layer" or per output "channel".
        regulation: Standardise the weights first, per "layer" or per "channel", or "none".
        gradient: Gradient of the sign, see `functional.binary`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> quantizer = Binary(torch.randn(8, 4), gradient="ede")
        >>> quantizer.set_epoch(5, epochs=10)
        >>> quantizer
        Binary(scale=mean, per=channel, regulation=layer, gradient=ede, t=1, k=1)
    """

    bits = 1
    levels = (-1, 1)
    t: Tensor
    k: Tensor

    def __init__(
        self,
        weight: Tensor,
        scale: BinaryScale = "mean",
        per: Granularity = "channel",
        regulation: Regulation = "layer",
        gradient: BinaryGradient = "clipped_straight_through",
    ) -> None:
        super().__init__()
        choice(BinaryScale)("scale", scale)
        choice(Regulation)("regulation", regulation)
        choice(BinaryGradient)("gradient", gradient)
        self._rule, self.per, self.regulation, self.gradient = scale, per, regulation, gradient
        self.scale_count = mean_magnitude(weight.detach(), per).numel()
        self.scale_bits = 8 if scale == "power_of_two" else 32  # an exponent, or a float
        t, k = ede_schedule(0.0)
        # buffers, so that a compiled layer is not compiled anew each epoch
        self.register_buffer("t", torch.tensor(t, device=weight.device))
        self.register_buffer("k", torch.tensor(k, device=weight.device))

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Set t and k for an epoch, from 0, of a training with `epochs` epochs.

        Raises:
            ArgumentError: If `epoch` is not between 0 and `epochs`.
        """
        if not 0 <= epoch <= epochs:
            raise ArgumentError("epoch", epoch, f"a number from 0 to {epochs}")
        t, k = ede_schedule(epoch / max(epochs, 1))
        self.t.fill_(t)
        self.k.fill_(k)

    def _prepare(self, weight: Tensor) -> Tensor:
        if self.regulation == "none":
            return weight
        return regulate(weight, self.regulation, correction=int(self.regulation == "channel"))

    def _scale(self, prepared: Tensor) -> Tensor:
        mean = mean_magnitude(wide(prepared.detach()), self.per)
        return round_to_power_of_two(mean) if self._rule == "power_of_two" else mean

    def forward(self, weight: Tensor) -> Tensor:
        """Return the quantized weight."""
        prepared = self._prepare(weight)
        return binary(prepared, self._scale(prepared), self.gradient, self.t, self.k)

    def codes(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the int32 codes of a float weight and their unit."""
        prepared = self._prepare(weight.detach())
        return binary_codes(prepared, self._scale(prepared))

    def state_facts(self) -> dict[str, Any]:
        """Return the options that are saved in the state dict in addition to the tensors."""
        return {
            "kind": type(self).__name__,
            "bits": self.bits,
            "scale": self._rule,
            "per": self.per,
            "regulation": self.regulation,
        }

    def extra_repr(self) -> str:
        """Name the scale, the regulation and the gradient."""
        text = f"scale={self._rule}, per={self.per}, regulation={self.regulation}"
        schedule = f", t={shown(self.t)}, k={shown(self.k)}"
        return f"{text}, gradient={self.gradient}{schedule if self.gradient == 'ede' else ''}"
