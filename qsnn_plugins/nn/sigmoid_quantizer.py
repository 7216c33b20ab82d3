"""The sigmoid quantizer as a parametrization."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.scale import MIN_SCALE, max_magnitude, normalize_gradient, wide
from qsnn_plugins.functional.threshold import keep_positive
from qsnn_plugins.functional.weight.sigmoid_quantizer import (
    linear_temperature,
    sigmoid_quantizer,
    sigmoid_quantizer_codes,
)
from qsnn_plugins.functional.weight.thresholds import (
    best_scale,
    k_means_thresholds,
    middle_thresholds,
    symmetric_levels,
)
from qsnn_plugins.nn.neuron import shown
from qsnn_plugins.nn.state import StateFacts
from qsnn_plugins.spec.checks import choice
from qsnn_plugins.spec.weight import Fidelity

__all__ = ["SigmoidQuantizer", "ThresholdRule", "soft_weights"]

ThresholdRule = Literal["middle", "k_means"]


class SigmoidQuantizer(StateFacts):
    """Sigmoids in training and steps at evaluation: a parametrization (Shymyrbay et al., Eq. 6-9).

    α and β are learned scalars of the layer, and T grows with the epoch (`set_epoch`). The weights
    are soft in training mode and hard in evaluation mode. Until T is large, the two differ:
    `quantizer.hard = True` or `False` overrides the mode, so that both accuracies can be reported;
    None restores it. Call `eval()` before `remove_parametrizations`, as `nn.bake_weights` does;
    otherwise the soft weights are kept. α and β are used as positive numbers, because an α that an
    optimizer pushes below 0 would flip the sign of the whole layer.

    fidelity="paper" is the default because it does not need a pretrained network: thresholds midway
    between levels, T = 1 + 2 epoch, exact gradients, and α = 1 / β from `best_scale`, since the
    paper gives no initial value. "released" follows the code of Yang et al., who proposed the
    method (the paper has no code): thresholds from k-means on the weight, β = 1.25 p / max|w|, α =
    1 / β, T = 5 (epoch + 1), exponents within ±10, and for one bit the slope of T = 1 times T.

    The gradients of α and β (Eq. 14, 15) are divided by sqrt(weights · positive levels), as in LSQ,
    so that their steps are not much larger than those of weights; "released" uses the plain sums.

    Args:
        weight: The weight to quantize, any shape; it determines α, β and the thresholds.
        bits: 1, 2 (ternary), 4 or 8.
        fidelity: "paper" or "released".
        thresholds: "middle" or "k_means" (0 for one bit in both), or None for the default of
            `fidelity`.
        temperature_rate: Increase of T per epoch, 0 or above, or None for the default of
            `fidelity`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> weight = torch.tensor([-0.5, 0.5, 0.02])
        >>> quantizer = SigmoidQuantizer(weight, bits=2)
        >>> quantizer(weight).detach()  # T = 1
        tensor([-0.2200,  0.2200,  0.0094])
        >>> quantizer.eval()(weight).detach()
        tensor([-0.5000,  0.5000,  0.0000])
    """

    scale_count = 1
    scale_bits = 32
    thresholds: Tensor
    temperature: Tensor

    def __init__(
        self,
        weight: Tensor,
        bits: int = 1,
        fidelity: Fidelity = "paper",
        thresholds: ThresholdRule | None = None,
        temperature_rate: float | None = None,
    ) -> None:
        super().__init__()
        levels = symmetric_levels(bits)
        choice(Fidelity)("fidelity", fidelity)
        if thresholds is not None:
            choice(ThresholdRule)("thresholds", thresholds)
        released = fidelity == "released"
        rule = thresholds or ("k_means" if released else "middle")
        if temperature_rate is None:
            temperature_rate = 5.0 if released else 2.0
        if not temperature_rate >= 0:
            raise ArgumentError("temperature_rate", temperature_rate, "a number from 0")
        self.temperature_rate = float(temperature_rate)
        self._start = self.temperature_rate if released and temperature_rate > 0 else 1.0
        self.bits, self.levels, self.fidelity, self._rule = bits, levels, fidelity, rule
        self.hard: bool | None = None
        self._slope_temperature = 1.0 if released and bits == 1 else None
        self._max_exponent = 10.0 if released else 30.0
        w = wide(weight.detach())
        if released or rule == "k_means":
            alpha = max_magnitude(w).clamp(min=MIN_SCALE) / (1.25 * levels[-1])
        else:
            alpha = best_scale(w, levels)
        self.alpha, self.beta = nn.Parameter(alpha), nn.Parameter(1 / alpha)
        edges = middle_thresholds(levels)
        if rule == "k_means" and bits > 1 and not w.is_meta:
            edges = k_means_thresholds(w / alpha, len(levels) - 1)
        # buffers, so that a compiled layer is not compiled anew each epoch
        self.register_buffer("thresholds", torch.tensor(edges, dtype=w.dtype, device=w.device))
        first = linear_temperature(0, self._start, self.temperature_rate)
        self.register_buffer("temperature", torch.tensor(first, device=w.device))

    def set_epoch(self, epoch: int, epochs: int = 0) -> None:
        """Set T for an epoch, from 0; the number of epochs is not used.

        Raises:
            ArgumentError: If `epoch` is below 0.
        """
        self.temperature.fill_(linear_temperature(epoch, self._start, self.temperature_rate))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the soft weight in training, the quantized one at evaluation."""
        alpha, beta = (keep_positive(p, MIN_SCALE) for p in (self.alpha, self.beta))
        if self.fidelity == "paper":
            shared = weight.numel(), len(self.levels) // 2
            alpha, beta = (normalize_gradient(p, *shared) for p in (alpha, beta))
        return sigmoid_quantizer(
            weight,
            alpha,
            beta,
            self.thresholds,
            self.levels,
            self.temperature,
            hard=not self.training if self.hard is None else self.hard,
            slope_temperature=self._slope_temperature,
            max_exponent=self._max_exponent,
        )

    def codes(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return int32 codes of a float weight, hard in any mode, and their unit."""
        alpha, beta = (keep_positive(p.detach(), MIN_SCALE) for p in (self.alpha, self.beta))
        return sigmoid_quantizer_codes(weight.detach(), alpha, beta, self.thresholds, self.levels)

    def state_facts(self) -> dict[str, Any]:
        """Return what its state dict says of it beside the tensors."""
        return {"kind": type(self).__name__, "bits": self.bits}

    def extra_repr(self) -> str:
        """Name the bits, the thresholds and T."""
        temperature = f"temperature={shown(self.temperature)}"
        return f"bits={self.bits}, fidelity={self.fidelity}, thresholds={self._rule}, {temperature}"


@contextmanager
def soft_weights(network: nn.Module) -> Iterator[list[SigmoidQuantizer]]:
    """Use the soft weights of the training also at evaluation, inside a `with` block.

    Args:
        network: Any network.

    Yields:
        All `SigmoidQuantizer` modules of the network, soft inside the block and unchanged after it.

    Example:
        >>> weight = torch.tensor([-0.5, 0.5, 0.02])
        >>> network = nn.Sequential(SigmoidQuantizer(weight, bits=2)).eval()
        >>> with soft_weights(network):
        ...     network(weight).detach()
        tensor([-0.2200,  0.2200,  0.0094])
    """
    quantizers = [m for m in network.modules() if isinstance(m, SigmoidQuantizer)]
    before = [quantizer.hard for quantizer in quantizers]
    for quantizer in quantizers:
        quantizer.hard = False
    try:
        yield quantizers
    finally:
        for quantizer, hard in zip(quantizers, before, strict=True):
            quantizer.hard = hard
