"""The order in which a call's neurons lie in memory, in which the kernels take them."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from qsnn_plugins.ops.quantized_lif.schema import Inputs, choices

__all__ = ["MemoryOrder"]


class MemoryOrder(NamedTuple):
    """Dimensions of x_seq [T, N, ...] from the outermost in memory to the innermost.

    Neurons do not know of each other, so that kernels may take them as they lie: channels-last
    currents are not copied, and give channels-last spikes.
    """

    dims: tuple[int, ...]

    @classmethod
    def of(cls, x_seq: Tensor, variant: str) -> MemoryOrder:
        """Return the order of dense currents whose steps are outermost, or that of rows.

        Masks ask for samples in one piece.

        Args:
            x_seq: Currents, shape [T, N, ...].
            variant: What `Parameters.variant` returns.

        Example:
            >>> import torch
            >>> x_seq = torch.empty(4, 2, 5, 6, 3).permute(0, 1, 4, 2, 3)
            >>> MemoryOrder.of(x_seq, "SPATIAL=0").dims
            (0, 1, 3, 4, 2)
        """
        rows, named = cls(tuple(range(x_seq.dim()))), choices(variant)
        if x_seq.is_contiguous():
            return rows
        strides = x_seq.stride()
        dims = (0, *sorted(rows.dims[1:], key=lambda dim: -strides[dim]))
        is_dense = x_seq.permute(dims).is_contiguous()
        return cls(dims) if is_dense and (dims[1] == 1 or not named["SPATIAL"]) else rows

    @property
    def is_rows(self) -> bool:
        """Whether it is the order of the dimensions."""
        return self.dims == tuple(range(len(self.dims)))

    def enter(self, tensor: Tensor) -> Tensor:
        """Return a view of a tensor whose dimensions have this order.

        Args:
            tensor: Shape [T, N, ...], [N, ...], [] or one that broadcasts to [N, ...].
        """
        if self.is_rows or tensor.dim() == 0:
            return tensor
        if tensor.dim() == len(self.dims):
            return tensor.permute(self.dims)
        lacking = len(self.dims) - 1 - tensor.dim()
        return tensor[(None,) * lacking].permute([dim - 1 for dim in self.dims[1:]])

    def leave(self, tensor: Tensor) -> Tensor:
        """Return a fresh tensor, of shape [T, N, ...] or [N, ...] in this order, as callers see it.

        What has neither, such as the empty one of what a kernel does not return, stays as it is.
        """
        if self.is_rows or tensor.dim() < len(self.dims) - 1:
            return tensor
        dims = self.dims if tensor.dim() == len(self.dims) else [dim - 1 for dim in self.dims[1:]]
        seen = tensor.permute([dims.index(dim) for dim in range(len(dims))])
        # an operator's output that were a view could not be changed in place
        fresh: Any = tensor.new_empty(0)
        return fresh.set_(seen)

    def enter_all(self, inputs: Inputs) -> Inputs:
        """Return the tensors of a call as its kernel takes them."""
        return inputs._replace(
            x_seq=self.enter(inputs.x_seq),
            v=self.enter(inputs.v),
            threshold=self.enter(inputs.threshold),
        )
