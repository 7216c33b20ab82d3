"""Stored membranes as integer codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.membrane.stacked import check_levels, midpoints

__all__ = ["Codes", "encode"]


class Codes(NamedTuple):
    """Integer codes of a stored membrane, with everything needed to decode them.

    Args:
        codes: Index of each value's level, uint8 up to 256 levels, else int32.
        levels: Levels at scale 1, ascending.
        scale: Scale, a scalar tensor, or None for 1.
        dtype: Dtype of the membrane.

    Example:
        >>> Codes(torch.tensor([0, 2], dtype=torch.uint8), (-1.0, 0.0, 1.0)).decode()
        tensor([-1.,  1.])
    """

    codes: Tensor
    levels: tuple[float, ...]
    scale: Tensor | None = None
    dtype: torch.dtype = torch.float32

    def decode(self) -> Tensor:
        """Return scale times level: the stored membrane exactly, in its dtype."""
        if self.scale is None:
            table = torch.tensor(self.levels, dtype=self.dtype, device=self.codes.device)
        else:
            # the arithmetic of `uniform_membrane`, whose last step is the cast
            wide = torch.promote_types(self.dtype, torch.float32)
            table = torch.tensor(self.levels, dtype=wide, device=self.codes.device)
            table = (self.scale.to(wide) * table).to(self.dtype)
        return table[self.codes.long()]


def encode(q: Tensor, levels: Sequence[float], scale: Tensor | None = None) -> Codes:
    """Codes of a stored membrane.

    Args:
        q: Stored membrane, any shape: values of scale times level.
        levels: Levels at scale 1, ascending.
        scale: Scale, a scalar tensor, or None for 1.

    Returns:
        Codes whose `decode` returns exactly `q`.

    Raises:
        ArgumentError: If `levels` or `scale` is not allowed, or `q` is not at them.

    Example:
        >>> encode(torch.tensor([-1.0, 1.0, 0.0]), (-1, 0, 1)).codes
        tensor([0, 2, 1], dtype=torch.uint8)
    """
    table = check_levels(levels)
    wide = q.detach().double()
    if scale is not None:
        if not isinstance(scale, Tensor) or scale.numel() != 1 or not scale.is_floating_point():
            raise ArgumentError("scale", scale, "a scalar tensor of a float, or None")
        scale = scale.detach()
        wide = wide / scale.double().clamp(min=torch.finfo(scale.dtype).tiny)
    edges = torch.tensor(midpoints(table), dtype=torch.float64, device=q.device)
    codes = torch.bucketize(wide.contiguous(), edges)  # torch copies it otherwise, and warns
    found = Codes(
        codes.to(torch.uint8 if len(table) <= 256 else torch.int32), table, scale, q.dtype
    )
    if not torch.equal(found.decode(), q.detach()):
        raise ArgumentError("q", list(q.shape), "membranes that are at the levels")
    return found
