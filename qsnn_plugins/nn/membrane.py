"""Membrane quantizers as modules."""

from __future__ import annotations

from torch import Tensor, nn

from qsnn_plugins.functional.membrane.levels import clip_membrane, nearest_level, pruned_level
from qsnn_plugins.functional.packing.codes import Codes, encode
from qsnn_plugins.spec import MembraneSpec
from qsnn_plugins.spec.custom import build_custom, import_class

__all__ = ["ClipMembrane", "NearestLevel", "membrane_quantizer"]


class NearestLevel(nn.Module):
    """Rounds membranes to the nearest level: `functional.nearest_level` or `pruned_level`.

    Args:
        spec: Levels and gradient; of kind "levels", "threshold_centred" or "pruned".

    Example:
        >>> import torch
        >>> quantizer = NearestLevel(MembraneSpec())
        >>> q = quantizer(torch.tensor([-0.7, 0.1, 0.9]))
        >>> q, quantizer.encode(q).codes
        (tensor([-1.,  0.,  1.]), tensor([0, 1, 2], dtype=torch.uint8))
    """

    def __init__(self, spec: MembraneSpec) -> None:
        super().__init__()
        self.spec = spec
        self.is_pruned = spec.kind == "pruned"
        self._levels = spec.levels if self.is_pruned else spec.level_table

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels of the spec, which alone says them: kernels and exports read it."""
        return self._levels

    def forward(self, u: Tensor) -> Tensor:
        """Return the nearest levels of u, any shape."""
        spec = self.spec
        quantize = pruned_level if self.is_pruned else nearest_level
        return quantize(u, self.levels, spec.gradient, spec.surrogate, spec.smoothness)

    def encode(self, q: Tensor) -> Codes:
        """Return integer codes of a stored membrane, any shape."""
        return encode(q, self.spec.level_table)

    def extra_repr(self) -> str:
        """Name the levels."""
        levels = f"{len(self.levels)} levels" if len(self.levels) > 8 else f"levels={self.levels}"
        return f"{levels}, gradient={self.spec.gradient}" + ", pruned" * self.is_pruned


class ClipMembrane(nn.Module):
    """Clips membranes to bounds, in full precision: `functional.clip_membrane`.

    Args:
        spec: The bounds.

    Example:
        >>> import torch
        >>> ClipMembrane(MembraneSpec(kind="clip", lower=-5.0))(torch.tensor([-7.0, 0.25]))
        tensor([-5.0000,  0.2500])
    """

    def __init__(self, spec: MembraneSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, u: Tensor) -> Tensor:
        """Return the clipped membrane, any shape."""
        return clip_membrane(u, self.spec.lower, self.spec.upper)

    def extra_repr(self) -> str:
        """Name the bounds."""
        return f"lower={self.spec.lower}, upper={self.spec.upper}"


def membrane_quantizer(spec: MembraneSpec) -> nn.Module:
    """Build the module that quantizes membranes.

    If it stores codes, its `encode(q)` returns them.

    Args:
        spec: The membrane part of a `QuantSpec`.

    Returns:
        Module from a membrane of any shape to one of the same shape.

    Raises:
        ArgumentError: If a custom class does not meet the requirements of `MembraneSpec`.

    Example:
        >>> membrane_quantizer(MembraneSpec(kind="float"))
        Identity()
        >>> membrane_quantizer(MembraneSpec(kind="uniform", bits=4))
        UniformMembrane(uniform, 4 bits, running scale, stacked gradient (sigmoid, smoothness 2.0))
    """
    if spec.kind == "custom":
        return build_custom(spec)
    return import_class(spec.module_path)(spec)
