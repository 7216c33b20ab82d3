"""The released weight quantizer of IM-SNN and SpQuant-SNN as a parametrization."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from qsnn_plugins.functional.scale import check_bits
from qsnn_plugins.functional.weight.statistical import statistical, statistical_codes
from qsnn_plugins.nn.state import StateFacts

__all__ = ["Statistical"]


class Statistical(StateFacts):
    """Parametrization with a scale from the statistics of the weight, `functional.statistical`.

    The quantizer in the code of IM-SNN and SpQuant-SNN, instead of the printed `PowerOfTwo`.

    Args:
        weight: The weight to quantize, any shape; not used.
        bits: Bits per weight, from 2 to 8.

    Raises:
        ArgumentError: If `bits` is not allowed.

    Example:
        >>> import torch
        >>> Statistical(torch.randn(8, 4), bits=2).levels
        (-1, 0, 1)
    """

    scale_count = 1
    scale_bits = 32

    def __init__(self, weight: Tensor, bits: int = 4) -> None:
        super().__init__()
        check_bits("bits", bits, least=2)
        steps = 2 ** (bits - 1) - 1
        self.bits, self.levels = bits, tuple(range(-steps, steps + 1))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the quantized weight."""
        return statistical(weight, self.bits)

    def codes(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the int32 codes of a float weight and their unit."""
        return statistical_codes(weight.detach(), self.bits)

    def state_facts(self) -> dict[str, Any]:
        """Return the options that are saved in the state dict in addition to the tensors."""
        return {"kind": type(self).__name__, "bits": self.bits}

    def extra_repr(self) -> str:
        """Name the bits."""
        return f"bits={self.bits}"
