"""Membrane quantizers as modules."""

from __future__ import annotations

from torch import Tensor, nn

from qsnn_plugins.functional.membrane import nearest_level
from qsnn_plugins.spec import MembraneSpec

__all__ = ["NearestLevel", "membrane_quantizer"]


class NearestLevel(nn.Module):
    """Stored membrane at the nearest level, `functional.nearest_level`.

    Args:
        spec: Levels and gradient.

    Example:
        >>> import torch
        >>> NearestLevel(MembraneSpec())(torch.tensor([-0.7, 0.1, 0.9]))
        tensor([-1.,  0.,  1.])
    """

    def __init__(self, spec: MembraneSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, u: Tensor) -> Tensor:
        """Return the level that is stored of u, any shape."""
        spec = self.spec
        return nearest_level(u, spec.levels, spec.gradient, spec.surrogate, spec.smoothness)

    def extra_repr(self) -> str:
        """Name the levels."""
        return f"levels={self.spec.levels}, gradient={self.spec.gradient}"


def membrane_quantizer(spec: MembraneSpec) -> nn.Module:
    """Build the module that turns a membrane into what is stored of it.

    Args:
        spec: The membrane's part of a `QuantSpec`.

    Returns:
        Module from a membrane of any shape to one of the same shape.

    Example:
        >>> membrane_quantizer(MembraneSpec(kind="float"))
        Identity()
    """
    return nn.Identity() if spec.kind == "float" else NearestLevel(spec)
