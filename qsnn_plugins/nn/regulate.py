"""Weight regulation as a parametrization."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from qsnn_plugins.functional.scale import Granularity
from qsnn_plugins.functional.weight.regulation import regulate

__all__ = ["Regulate"]


class Regulate(nn.Module):
    """Parametrization that standardises the weight of a layer, `functional.regulate`.

    The weight part of WS-DR (Q-SNN Eq. 14) on its own; `Binary` includes it.

    Args:
        per: "layer" as in the paper, or "channel" as in its released code.
        correction: 0, or 1 for the unbiased variance of the released code.

    Raises:
        ArgumentError: If an argument is not allowed (at the first forward).

    Example:
        >>> import torch
        >>> Regulate()(torch.tensor([[1.0, 3.0]]))
        tensor([[-1.,  1.]])
    """

    def __init__(self, per: Granularity = "layer", correction: Literal[0, 1] = 0) -> None:
        super().__init__()
        self.per, self.correction = per, correction

    def forward(self, weight: Tensor) -> Tensor:
        """Return the standardised weight."""
        return regulate(weight, self.per, self.correction)

    def extra_repr(self) -> str:
        """Name what is standardised."""
        return f"per={self.per}, correction={self.correction}"
